import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from '../../cluster/cluster.ts';
import { NODE_NAME } from '../../cluster/node.ts';
import { driverObjects } from '../../e2e/driver-cluster.ts';
import { importImage } from '../../e2e/images.ts';

/** The driver of ../bind, of which the kubelet does only what it must. */
export const BIND_DRIVER = 'bind.bench.bpffs.dev';
/** The same driver, for which the kubelet does what this driver's CSIDriver object asks for. */
export const ASKING_DRIVER = 'asking.bench.bpffs.dev';

const IMAGE = 'localhost/bind:1';
const PROGRAM = join(import.meta.dirname, '../bin/bind');

/** Installs both, as DaemonSets like this driver's, and waits until they run. */
export async function installBindDrivers(cluster: Cluster): Promise<void> {
  await importImage(cluster, { name: IMAGE, entrypoint: ['/bind'] }, (root) => copyFile(PROGRAM, join(root, 'bind')));
  const chart = (await driverObjects()).find(({ kind }) => kind === 'CSIDriver');
  if (chart === undefined) throw new Error('the chart has no CSIDriver object');
  await cluster.apply([
    { ...chart, metadata: { name: BIND_DRIVER }, spec: LEAST },
    { ...chart, metadata: { name: ASKING_DRIVER } },
  ]);
  for (const driver of [BIND_DRIVER, ASKING_DRIVER]) {
    await cluster.apply([daemonSet(driver, cluster.kubeletDirectory)]);
    await cluster.kubectl('rollout', 'status', `daemonset/${driver}`, '--timeout=120s');
  }
}

const LEAST = {
  volumeLifecycleModes: ['Ephemeral'],
  attachRequired: false,
  podInfoOnMount: false,
  requiresRepublish: false,
  fsGroupPolicy: 'None',
};

function daemonSet(driver: string, kubelet: string): object {
  const directory = `${kubelet}/plugins/${driver}`;
  const labels = { app: driver };
  const container = {
    name: 'bind',
    image: IMAGE,
    imagePullPolicy: 'Never',
    args: [
      `--driver-name=${driver}`,
      `--endpoint=${directory}/csi.sock`,
      `--source=${directory}/empty`,
      `--registration=${kubelet}/plugins_registry/${driver}-reg.sock`,
      `--node-id=${NODE_NAME}`,
    ],
    securityContext: { privileged: true },
    // What this driver's containers request.
    resources: { requests: { cpu: '10m', memory: '16Mi' } },
    volumeMounts: [
      { name: 'kubelet', mountPath: kubelet, mountPropagation: 'Bidirectional' },
      { name: 'empty', mountPath: '/empty' },
    ],
  };
  const volumes = [
    { name: 'kubelet', hostPath: { path: kubelet } },
    { name: 'empty', hostPath: { path: `${directory}/empty`, type: 'DirectoryOrCreate' } },
  ];
  const template = { metadata: { labels }, spec: { containers: [container], volumes } };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: driver, namespace: 'default', labels },
    spec: { selector: { matchLabels: labels }, template },
  };
}
