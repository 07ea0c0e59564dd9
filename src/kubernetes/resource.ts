/** A kind of objects, as the API server's paths name it. */
export interface Resource {
  /** '' is the core group: pods, service accounts. */
  readonly group: string;
  readonly version: string;
  /** Lower case, plural: "bpfmaps". */
  readonly plural: string;
  /** "status". */
  readonly subresource?: string;
}

/** An object; without `namespace`, one of the cluster's. */
export interface ObjectKey {
  readonly namespace?: string;
  readonly name: string;
}

/** Any object, as JSON has it: what else is in it has to be looked at before it is believed. */
export interface KubernetesObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly creationTimestamp: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
  };
  readonly [field: string]: unknown;
}

/** What an object is called where it is listed: "name" or "namespace/name". */
export function keyOf({ namespace, name }: ObjectKey): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** "bpfmaps.bpffs.dev", as kubectl has it; "bpfvolumes.bpffs.dev/status". */
export function fullName({ plural, group, subresource }: Resource): string {
  const name = group === '' ? plural : `${plural}.${group}`;
  return subresource === undefined ? name : `${name}/${subresource}`;
}

/** https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris */
export function resourcePath(
  { group, version, plural, subresource }: Resource,
  { namespace, name }: Partial<ObjectKey>,
): string {
  const parts = group === '' ? ['api', version] : ['apis', group, version];
  if (namespace !== undefined) parts.push('namespaces', namespace);
  parts.push(plural);
  if (name !== undefined) parts.push(name);
  if (subresource !== undefined) parts.push(subresource);
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('');
}
