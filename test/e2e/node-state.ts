import assert from 'node:assert/strict';
import type { Cluster } from '../cluster/cluster.ts';
import { eventually } from '../cluster/eventually.ts';
import { nodeMaps } from './node-maps.ts';

/** The driver's resources on the node, whose numbers must come back. */
export interface NodeState {
  /** The bpf filesystems mounted beneath the kubelet's directory. */
  readonly mounts: number;
  /** Maps in the kernel, whoever created them. */
  readonly maps: number;
  /** Open descriptors of each of the driver's processes. */
  readonly descriptors: Readonly<Record<string, number>>;
  /** Resident memory of each. */
  readonly memoryKib: Readonly<Record<string, number>>;
}

export type DriverProcess = keyof typeof PROCESSES;

/** The processes of the driver's DaemonSet, by a part of their command lines. */
const PROCESSES = { pinner: 'bpffs-pinner --socket', plugin: 'csi-driver-bpffs.cjs node' };

/** The same for its Deployment, whose processes have several replicas. */
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
 * Waits until no number is above `before`, memory excepted: the kernel takes time to free maps, so a count may be too high for
 * a while. Compares descriptors of the processes in `before`.
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

/** How many mounts are stacked in a pod's volumes, by path. */
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

/** Resident memory of one process of each of the driver's containers. */
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

/** The paths of mounted volumes and of the files mounted in them, once per mount. */
export async function targets(cluster: Node): Promise<readonly string[]> {
  const list = await cluster.run('findmnt', '--list', '--noheadings', '--output=TARGET');
  return list.split('\n').filter((target) => target.includes('/volumes/kubernetes.io~csi/'));
}
