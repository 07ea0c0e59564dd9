import { type Cluster, type ClusterOptions, startCluster } from '../cluster/cluster.ts';
import { type Manifest, NAMESPACE, parseManifest, render } from '../deploy/helm.ts';
import { saveEvidence } from './evidence.ts';
import { DRIVER, importImages, PROVISIONER } from './images.ts';
import { nodeMaps } from './node-maps.ts';
import { account, mapRole, pinnedMap, roleBinding, serviceAccount } from './objects.ts';
import { inline, pod } from './pods.ts';

// Looks at running pods every few seconds instead of every minute, and restarts containers at once.
const KUBELET = { syncFrequency: '5s', crashLoopBackOff: { maxContainerRestartPeriod: '1s' } };

const VALUES = {
  image: { ...DRIVER, pullPolicy: 'Never' },
  controller: { provisioner: { image: PROVISIONER } },
  namespace: { create: true },
  serviceAccountTokenInSecrets: true,
  admission: { setHostUsers: true },
};

/** A cluster in which the driver runs. */
export interface DriverCluster {
  readonly cluster: Cluster;
  /** From the creation of the DaemonSet to a running container with maps, when the node has the images. */
  readonly coldNodeSeconds: number;
}

/** Starts a cluster and installs the driver by its chart. If that fails, saves evidence and stops everything. */
export async function startDriverCluster(directory: string, options: ClusterOptions = {}): Promise<DriverCluster> {
  const cluster = await startCluster(directory, { kubelet: KUBELET, ...options });
  try {
    await importImages(cluster);
    return { cluster, coldNodeSeconds: await installDriver(cluster) };
  } catch (error) {
    const evidence = await saveEvidence(cluster, 'setup');
    await cluster.stop();
    throw new Error(`the driver was not installed; see ${evidence}`, { cause: error });
  }
}

/** The objects of the chart. */
export async function driverObjects(): Promise<readonly Manifest[]> {
  return parseManifest(await render(VALUES));
}

/** What is done while the driver is installed. */
interface Meanwhile {
  /** When the cluster knows the driver's kinds. */
  readonly withCrds?: () => Promise<void>;
  /** When all objects are applied, and their pods start. */
  readonly applied?: () => Promise<void>;
}

/** Installs the driver, whose images the node has, by its chart, and waits until it runs. */
export async function applyDriver(cluster: Cluster, { withCrds, applied }: Meanwhile = {}): Promise<void> {
  const objects = await driverObjects();
  const isCrd = ({ kind }: Manifest) => kind === 'CustomResourceDefinition';
  await cluster.apply(objects.filter(isCrd));
  await cluster.kubectl('wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all');
  await withCrds?.();
  await cluster.apply(objects.filter((object) => !isCrd(object)));
  await applied?.();
  for (const workload of ['daemonset/csi-driver-bpffs-node', 'deployment/csi-driver-bpffs-controller']) {
    await cluster.kubectl('rollout', 'status', workload, `--namespace=${NAMESPACE}`, '--timeout=120s');
  }
}

async function installDriver(cluster: Cluster): Promise<number> {
  let start = Number.NaN;
  let seconds = Number.NaN;
  await applyDriver(cluster, {
    async withCrds() {
      await nodeMaps(cluster).create('first', { 1: 1 });
      await cluster.apply(FIRST_GRANT);
      start = performance.now();
    },
    async applied() {
      await cluster.apply([pod('first', { serviceAccount: 'first', volume: inline({ maps: 'first' }) })]);
      await cluster.kubectl('wait', '--for=condition=Ready', '--timeout=120s', 'pod/first');
      seconds = (performance.now() - start) / 1000;
    },
  });
  await cluster.kubectl('delete', 'pod/first', 'bpfmap/first', 'rolebinding/first', 'serviceaccount/first');
  await cluster.kubectl('delete', 'clusterrole/first');
  return seconds;
}

const FIRST_GRANT = [
  pinnedMap('first', 'first'),
  serviceAccount('first'),
  mapRole('first', { read: ['first'] }),
  roleBinding('first', 'first', account('default', 'first')),
];
