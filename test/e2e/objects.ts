import type { Verb } from '../../src/access/access.ts';

const RBAC = 'rbac.authorization.k8s.io';

export function serviceAccount(name: string): object {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } };
}

/** A BpfMap for the pin /sys/fs/bpf/<path> of the node. `fields` adds to its spec. */
export function pinnedMap(name: string, path: string, fields: object = {}): object {
  return bpfMap(name, { source: { pinned: { path: `/sys/fs/bpf/${path}` } }, ...fields });
}

export function bpfMap(name: string, spec: object): object {
  return { apiVersion: 'bpffs.dev/v1alpha1', kind: 'BpfMap', metadata: { name }, spec };
}

/** A ClusterRole that lets use these BpfDelegations. */
export function delegationRole(name: string, delegations: readonly string[]): object {
  const rule = { apiGroups: ['bpffs.dev'], resources: ['bpfdelegations'], resourceNames: delegations, verbs: ['use'] };
  return { apiVersion: `${RBAC}/v1`, kind: 'ClusterRole', metadata: { name }, rules: [rule] };
}

/** A ClusterRole: `mapRole('flows-reader', { read: ['flows'] })`. */
export function mapRole(name: string, maps: Partial<Record<Verb, readonly string[] | 'all'>>): object {
  const rules = Object.entries(maps).map(([verb, names]) => ({
    apiGroups: ['bpffs.dev'],
    resources: ['bpfmaps'],
    ...(names !== 'all' && { resourceNames: names }),
    verbs: [verb],
  }));
  return { apiVersion: `${RBAC}/v1`, kind: 'ClusterRole', metadata: { name }, rules };
}

/** A subject of a role binding. */
export type Subject =
  | { readonly kind: 'ServiceAccount'; readonly name: string; readonly namespace: string }
  | { readonly kind: 'Group'; readonly apiGroup: typeof RBAC; readonly name: string };

export function account(namespace: string, name: string): Subject {
  return { kind: 'ServiceAccount', name, namespace };
}

export function group(name: string): Subject {
  return { kind: 'Group', apiGroup: RBAC, name };
}

/** Binds a ClusterRole in the namespace it is applied to. */
export function roleBinding(name: string, role: string, ...subjects: readonly Subject[]): object {
  return binding('RoleBinding', name, role, subjects);
}

/** Binds a ClusterRole everywhere. */
export function clusterRoleBinding(name: string, role: string, ...subjects: readonly Subject[]): object {
  return binding('ClusterRoleBinding', name, role, subjects);
}

function binding(kind: string, name: string, role: string, subjects: readonly Subject[]): object {
  const roleRef = { apiGroup: RBAC, kind: 'ClusterRole', name: role };
  return { apiVersion: `${RBAC}/v1`, kind, metadata: { name }, roleRef, subjects };
}

/** A StorageClass of the driver whose volumes wait for a pod, as all types but maps require. */
export function storageClass(name: string, parameters: Readonly<Record<string, string>>, fields: object = {}): object {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner: 'csi.bpffs.dev',
    volumeBindingMode: 'WaitForFirstConsumer',
    parameters,
    ...fields,
  };
}

/** A PersistentVolumeClaim. */
export function claim(name: string, storageClassName: string, accessMode = 'ReadWriteOnce'): object {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: claimSpec(storageClassName, accessMode),
  };
}

export function claimSpec(storageClassName: string, accessMode = 'ReadWriteOnce'): object {
  return { storageClassName, accessModes: [accessMode], resources: { requests: { storage: '1Mi' } } };
}
