import { setImmediate as turn } from 'node:timers/promises';

/** What a method is called with: all of its fields, as they are read. */
export type Request<M> = M extends { readonly requestDeserialize: (bytes: Buffer) => infer Req } ? Req : never;

/** What a method answers. */
export type Response<M> = M extends { readonly responseDeserialize: (bytes: Buffer) => infer Res } ? Res : never;

/** The names of a service's methods; as generated, its definition has any other name too. */
export type MethodName<D> = keyof { [M in keyof D as string extends M ? never : number extends M ? never : M]: M } &
  string;

/** A gRPC service of the .proto files. `D`: its definition as generated, which has a codec for the messages of each method. */
export interface Service<D extends object> {
  /** As "csi.v1.Node". */
  readonly name: string;
  /** As "NodePublishVolume". */
  readonly methods: readonly MethodName<D>[];
  /** Of its .proto file, as generated. */
  readonly descriptor: object;
  /** Its codecs are made when this is first called, which takes a third of the time that a start does. */
  definition(): Promise<D>;
}

/** A method's name as it is written in code: nodePublishVolume. */
export type InCode<M extends string> = Uncapitalize<M>;

/** As the type of that name. */
export function inCode<M extends string>(method: M): InCode<M> {
  return `${method.charAt(0).toLowerCase()}${method.slice(1)}` as InCode<M>;
}

/** As much of a .proto file's descriptor as it takes to find a service. */
interface Descriptor {
  readonly nested?: Readonly<Record<string, Descriptor>>;
  readonly methods?: Readonly<Record<string, unknown>>;
}

/** The service of that name. `descriptor`: of its .proto file, as generated. */
export function describeService<D extends object>(descriptor: object, name: string): Service<D> {
  const found = name
    .split('.')
    .reduce<Descriptor | undefined>((within, part) => within?.nested?.[part], descriptor as Descriptor);
  if (found?.methods === undefined) throw new TypeError(`no .proto file has a service ${name}`);
  let definition: Promise<D> | undefined;
  return {
    name,
    descriptor,
    methods: Object.keys(found.methods) as MethodName<D>[],
    definition() {
      definition ??= import('./codecs.ts').then(({ loadService }) => loadService<D>(descriptor, name));
      return definition;
    },
  };
}

/** Makes the codecs of services, the first one's first, between whatever else is to be done: their first calls wait less for them. */
export async function prepare(...services: readonly Pick<Service<object>, 'definition'>[]): Promise<void> {
  for (const service of services) {
    await turn();
    await service.definition();
  }
}
