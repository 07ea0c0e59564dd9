import assert from 'node:assert/strict';
import type { Cluster } from '../cluster/cluster.ts';
import { eventually } from '../cluster/eventually.ts';
import { nodeMaps } from './node-maps.ts';

/** What the driver has on the node, in numbers that have to come back. */
export interface NodeState {
  /** Of the kernel's mounts on the node, those that are bpf filesystems beneath the kubelet's directory. */
  readonly mounts: number;
  /** Maps in the kernel, of whoever. */
  readonly maps: number;
  /** Descriptors that each process of the driver has open. */
  readonly descriptors: Readonly<Record<string, number>>;
  /** Its resident memory. */
  readonly memoryKib: Readonly<Record<string, number>>;
}

export type DriverProcess = keyof typeof PROCESSES;

/** By what their command lines have, the processes of the driver's DaemonSet. */
const PROCESSES = { pinner: 'bpffs-pinner --socket', plugin: 'csi-driver-bpffs.cjs node' };

/** Likewise, those of its Deployment, of which each runs more than once. */
const CONTROLLER_PROCESSES = { controller: 'csi-driver-bpffs.cjs controller', provisioner: '/csi-provisioner' };

type Node = Pick<Cluster, 'run' | 'kubectl'>;

export async function nodeState(cluster: Node): Promise<NodeState> {
  const descriptors: Record<string, number> = {};
  const memoryKib: Record<string, number> = {};
  for (const [name, pid] of Object.entries(await driverProcesses(cluster))) {
    descriptors[name] = (await cluster.run('ls', `/proc/${pid}/fd`)).split('\n').length;
    memoryKib[name] = await residentKib(cluster, pid);
  }
  const mounts = (await targets(cluster)).length;
  return { mounts, maps: await nodeMaps(cluster).count(), descriptors, memoryKib };
}

/**
 * Waits until nothing is more than it was, memory aside: the kernel takes its time to free a map, so that any count may be of
 * too many. Descriptors are compared of the processes that `before` names.
 */
export async function nothingMore(cluster: Node, before: NodeState): Promise<NodeState> {
  const numbers = ({ mounts, maps, descriptors }: NodeState) =>
    new Map(Object.entries({ mounts, maps, ...descriptors }));
  const most = numbers(before);
  return await eventually('nothing is more than it was', 30, async () => {
    const now = await nodeState(cluster);
    const more = [...numbers(now)].filter(([name, count]) => count > (most.get(name) ?? count));
    assert.deepEqual(more, [], `there was no more than ${JSON.stringify(before)}`);
    return now;
  });
}

/** How many mounts lie on each other in a pod's volumes, by the path beneath them. */
export async function mountsOf(cluster: Node, namespace: string, pod: string): Promise<Record<string, number>> {
  const uid = await cluster.kubectl('get', 'pod', pod, `--namespace=${namespace}`, '--output=jsonpath={.metadata.uid}');
  const heights: Record<string, number> = {};
  for (const target of await targets(cluster)) {
    const [, volume, rest] = new RegExp(`/pods/${uid}/volumes/kubernetes.io~csi/([^/]+)/mount(.*)$`).exec(target) ?? [];
    if (volume === undefined || /\.debug$/.test(rest ?? '')) continue;
    heights[`${volume}${rest}`] = (heights[`${volume}${rest}`] ?? 0) + 1;
  }
  return heights;
}

/** Pids on the node. */
export function driverProcesses(cluster: Node): Promise<Readonly<Record<DriverProcess, number>>> {
  return find(cluster, PROCESSES);
}

/** Resident memory of one process of each container of the driver. */
export async function residentMemory(cluster: Node): Promise<Readonly<Record<string, number>>> {
  const pids = Object.entries(await find(cluster, { ...PROCESSES, ...CONTROLLER_PROCESSES }));
  const sizes = pids.map(async ([name, pid]) => [name, await residentKib(cluster, pid)] as const);
  return Object.fromEntries(await Promise.all(sizes));
}

async function find<Name extends string>(
  cluster: Node,
  patterns: Readonly<Record<Name, string>>,
): Promise<Record<Name, number>> {
  const pids = Object.entries<string>(patterns).map(async ([name, pattern]) => {
    const [pid] = (await cluster.run('pgrep', '--full', '--oldest', pattern)).split('\n');
    return [name, Number(pid)];
  });
  return Object.fromEntries(await Promise.all(pids));
}

async function residentKib(cluster: Node, pid: number): Promise<number> {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(await cluster.run('cat', `/proc/${pid}/status`)) ?? [];
  return Number(kib);
}

/** Where volumes are mounted, and the files in them, each as often as there are mounts. */
export async function targets(cluster: Node): Promise<readonly string[]> {
  const list = await cluster.run('findmnt', '--list', '--noheadings', '--output=TARGET');
  return list.split('\n').filter((target) => target.includes('/volumes/kubernetes.io~csi/'));
}
