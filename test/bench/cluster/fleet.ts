import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import type { PodIdentity } from '../../../src/access/access.ts';
import type { ApiServer } from '../../apiserver/api-server.ts';
import { AUDIENCE, makePod, podToken, resign } from '../../apiserver/pods.ts';
import type { SimulatedPod } from './simulated-node.ts';

export const NAMESPACE = 'bench';
export const PODS_PER_NODE = 20;
export const MAPS = ['flows', 'limits'] as const;
/** The one grant of the map LIMITS to the first pod of each node. */
export const WITHDRAWN = { name: 'first-pods', resource: 'rolebinding' } as const;

const RBAC = 'rbac.authorization.k8s.io';
/** Requests at a time while objects are made. */
const AT_A_TIME = 16;
const CRDS = new URL('../../../deploy/chart/crds/', import.meta.url);

/** Makes the kinds, the CSIDriver object, two BpfMaps, and a service account with grants for each pod of a node. */
export async function makeCluster(api: ApiServer): Promise<void> {
  for (const kind of ['bpfmaps', 'bpfvolumes']) {
    const text = await readFile(new URL(`bpffs.dev_${kind}.yaml`, CRDS), 'utf8');
    await api.apply(...parseAllDocuments(text).map((document) => document.toJS() as object));
  }
  await api.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
  const spec = { attachRequired: false, podInfoOnMount: true, requiresRepublish: true, fsGroupPolicy: 'File' };
  await api.apply(
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSIDriver',
      metadata: { name: AUDIENCE },
      spec: {
        ...spec,
        tokenRequests: [{ audience: AUDIENCE }],
        volumeLifecycleModes: ['Ephemeral', 'Persistent'],
      },
    },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    ...MAPS.map((name) => ({
      apiVersion: 'bpffs.dev/v1alpha1',
      kind: 'BpfMap',
      metadata: { name },
      spec: { source: { pinned: { path: `/sys/fs/bpf/${name}` } } },
    })),
  );
  const accounts = Array.from({ length: PODS_PER_NODE }, (_, index) => accountOf(index));
  const [first, ...others] = accounts.map((name) => ({ kind: 'ServiceAccount', name, namespace: NAMESPACE }));
  await api.apply(
    ...accounts.map((name) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: NAMESPACE, name } })),
    ...grant('all-pods', [MAPS[0]], [first, ...others]),
    ...grant('other-pods', [MAPS[1]], others),
    ...grant(WITHDRAWN.name, [MAPS[1]], [first]),
  );
}

/** Makes the pods of `nodes` nodes, which nobody runs, and a token for each: by node. */
export async function makePods(api: ApiServer, nodes: number): Promise<readonly (readonly SimulatedPod[])[]> {
  const pattern = await podToken(api, await makePod(api, NAMESPACE, 'pattern', accountOf(0)));
  const uids = await Promise.all(
    Array.from({ length: PODS_PER_NODE }, async (_, index) => {
      const key = { namespace: NAMESPACE, name: accountOf(index) };
      return (await api.admin.get({ group: '', version: 'v1', plural: 'serviceaccounts' }, key)).metadata.uid;
    }),
  );
  const made = Array.from({ length: nodes }, (): SimulatedPod[] => []);
  const left = made.entries();
  const make = async () => {
    for (const [node, pods] of left) {
      for (const [index, accountUid] of uids.entries()) {
        const identity = await createPod(api, node, index);
        pods.push({ identity, token: tokenOf(api, pattern, identity, accountUid, nodeName(node)) });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, make));
  return made;
}

export function nodeName(node: number): string {
  return `node-${node}`;
}

function accountOf(index: number): string {
  return `app-${index}`;
}

function grant(name: string, resourceNames: readonly string[], subjects: readonly unknown[]): readonly object[] {
  const metadata = { name, namespace: NAMESPACE };
  const rule = { apiGroups: ['bpffs.dev'], resources: ['bpfmaps'], verbs: ['read'], resourceNames };
  return [
    { apiVersion: `${RBAC}/v1`, kind: 'Role', metadata, rules: [rule] },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: RBAC, kind: 'Role', name },
      subjects,
    },
  ];
}

async function createPod(api: ApiServer, node: number, index: number): Promise<PodIdentity> {
  const podName = `${nodeName(node)}-${index}`;
  const serviceAccount = accountOf(index);
  const { metadata } = await api.admin.create(
    { group: '', version: 'v1', plural: 'pods' },
    {
      kind: 'Pod',
      metadata: { namespace: NAMESPACE, name: podName },
      spec: {
        nodeName: nodeName(node),
        serviceAccountName: serviceAccount,
        containers: [{ name: 'c', image: 'none' }],
      },
    },
  );
  return { namespace: NAMESPACE, serviceAccount, podName, podUid: metadata.uid };
}

/** Signed here, because the API server would take long to make so many. */
function tokenOf(api: ApiServer, pattern: string, pod: PodIdentity, accountUid: string, node: string): string {
  return resign(api, pattern, {
    sub: `system:serviceaccount:${pod.namespace}:${pod.serviceAccount}`,
    jti: crypto.randomUUID(),
    'kubernetes.io': {
      namespace: pod.namespace,
      node: { name: node, uid: node },
      pod: { name: pod.podName, uid: pod.podUid },
      serviceaccount: { name: pod.serviceAccount, uid: accountUid },
    },
  });
}
