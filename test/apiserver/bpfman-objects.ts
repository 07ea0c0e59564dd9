/** A CustomResourceDefinition as in bpfman-operator, with the fields that the driver reads. */
export function definition(kind: string, scope: string): object {
  const plural = `${kind.toLowerCase()}s`;
  const loose = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { openAPIV3Schema: { type: 'object', properties: { status: loose } } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.bpfman.io` },
    spec: {
      group: 'bpfman.io',
      scope,
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: 'v1alpha1', served: true, storage: true, schema }],
    },
  };
}

/** bpfman's state of an application on a node: a BpfApplicationState or, without a namespace, a ClusterBpfApplicationState. */
export function state(application: string, node: string, programs: object[], namespace?: string): object {
  return {
    apiVersion: 'bpfman.io/v1alpha1',
    kind: namespace === undefined ? 'ClusterBpfApplicationState' : 'BpfApplicationState',
    metadata: {
      name: `${application}-${node}`,
      ...(namespace !== undefined && { namespace }),
      labels: { 'bpfman.io/ownedByProgram': application, 'kubernetes.io/hostname': node },
    },
    status: { updateCount: 2, node, appLoadStatus: 'LoadSuccess', programs },
  };
}

/** A program in a state; without an id it is not loaded yet. */
export function program(name: string, programId?: number): object {
  return { name, type: 'XDP', programId, programLinkStatus: 'Success' };
}
