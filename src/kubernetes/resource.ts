/** A kind of objects, as in the API server's paths. */
export interface Resource {
  /** '' is the core group: pods, service accounts. */
  readonly group: string;
  readonly version: string;
  /** Lower case, plural: "bpfmaps". */
  readonly plural: string;
  /** Such as "status". */
  readonly subresource?: string;
}

/** Without `namespace`: a cluster-scoped object. */
export interface ObjectKey {
  readonly namespace?: string;
  readonly name: string;
}

/** Any object, as JSON. Its other fields must be validated before use. */
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

/** "name" or "namespace/name". */
export function keyOf({ namespace, name }: ObjectKey): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** As in kubectl: "bpfmaps.bpffs.dev", "bpfvolumes.bpffs.dev/status". */
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
