import type { Cluster } from '../../cluster/cluster.ts';
import { eventually } from '../../cluster/eventually.ts';
import { PAUSE } from '../../cluster/stock-images.ts';
import { nodeMaps } from '../../e2e/node-maps.ts';
import { account, mapRole, pinnedMap, roleBinding, serviceAccount } from '../../e2e/objects.ts';
import { inline, pod } from '../../e2e/pods.ts';
import { ASKING_DRIVER, BIND_DRIVER } from './bind-driver.ts';

/** Where pods are measured. */
export const NAMESPACE = 'bench';

/** A kind of pods: they differ in nothing but their volume. */
export interface Kind {
  /** As in "pods with …". */
  readonly name: string;
  readonly volume: object;
  /** The volume's plugin, and CSI driver if it has one, as the kubelet's metrics name them. */
  readonly plugin: string;
  readonly driver: string | undefined;
}

const READ = 'bench-flows';
const WRITTEN = 'bench-limits';
const BPFFS_DRIVER = 'csi.bpffs.dev';

const withDriver = (name: string, driver: string, volume: object = { csi: { driver } }): Kind => ({
  name,
  volume,
  plugin: `kubernetes.io/csi:${driver}`,
  driver,
});

/** The floor of a CSI volume. */
export const BIND = withDriver('the bind driver', BIND_DRIVER);

export const KINDS: readonly Kind[] = [
  { name: 'an emptyDir', volume: { emptyDir: {} }, plugin: 'kubernetes.io/empty-dir', driver: undefined },
  BIND,
  withDriver('the bind driver, asking as this one does', ASKING_DRIVER),
  withDriver('two maps', BPFFS_DRIVER, inline({ maps: `${READ}, ${WRITTEN}:rw` })),
];

const SERVICE_ACCOUNT = 'app';

/** Pods of a kind. Their container only waits, and ends when told. */
export function podsOf(kind: Kind, count: number): readonly object[] {
  return Array.from({ length: count }, (_, index) =>
    pod(`pod-${index}`, {
      serviceAccount: SERVICE_ACCOUNT,
      volume: kind.volume,
      container: { image: PAUSE, command: ['/pause'] },
      spec: { terminationGracePeriodSeconds: 10 },
    }),
  ).map((object) => ({ ...object, metadata: { ...object.metadata, namespace: NAMESPACE } }));
}

/** Makes the namespace, the maps, and the grants of its pods. */
export async function makeSpace(cluster: Cluster): Promise<void> {
  await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } }]);
  await eventually('the namespace is complete', 20, () =>
    cluster.kubectl('get', `--namespace=${NAMESPACE}`, 'configmap/kube-root-ca.crt'),
  );
  for (const name of ['flows', 'limits']) await nodeMaps(cluster).create(`bench/${name}`);
  const objects = [
    pinnedMap(READ, 'bench/flows'),
    pinnedMap(WRITTEN, 'bench/limits', { maxAccess: 'ReadWrite' }),
    serviceAccount(SERVICE_ACCOUNT),
    mapRole('bench-app', { read: [READ], write: [WRITTEN] }),
    roleBinding(SERVICE_ACCOUNT, 'bench-app', account(NAMESPACE, SERVICE_ACCOUNT)),
  ];
  await cluster.apply(objects.map((object) => inNamespace(object)));
}

const CLUSTER_SCOPED = ['BpfMap', 'ClusterRole'];

function inNamespace(object: object & { kind?: string; metadata?: object }): object {
  if (CLUSTER_SCOPED.includes(object.kind ?? '')) return object;
  return { ...object, metadata: { ...object.metadata, namespace: NAMESPACE } };
}
