/** The parts of a generated descriptor that are needed at run time. Types have full names: ".csi.v1.Volume". */
export interface Descriptor {
  readonly nested?: Readonly<Record<string, Descriptor>>;
  /** Of a message. */
  readonly fields?: Readonly<Record<string, FieldDescriptor>>;
  /** Of a service. */
  readonly methods?: Readonly<Record<string, unknown>>;
}

export interface FieldDescriptor {
  readonly id: number;
  readonly type: string;
  /** Of a map. */
  readonly keyType?: string;
  readonly rule?: string;
}

/** What has this full name, without a dot before it: "csi.v1.Node". Undefined: nothing. */
export function findIn(descriptor: object, name: string): Descriptor | undefined {
  return name
    .split('.')
    .reduce<Descriptor | undefined>((within, part) => within?.nested?.[part], descriptor as Descriptor);
}
