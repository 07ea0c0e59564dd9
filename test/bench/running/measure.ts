import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../cluster/cluster.ts';
import { eventually } from '../../cluster/eventually.ts';
import { NODE_NAME } from '../../cluster/node.ts';
import { type Kind, NAMESPACE, podsOf } from './kinds.ts';
import { readVolumeWork, type VolumeWork, type Work, workBetween } from './kubelet-metrics.ts';
import { cpuBetween, type ProcessCpu, processCpu } from './process-cpu.ts';
import { watchPods } from './watch-pods.ts';

/** What the pods of one kind took in one round. */
export interface Measured {
  /** The name of their kind. */
  readonly kind: string;
  /** Seconds from the creation of the first pod until all were Running. */
  readonly startup: number;
  /** Seconds from the first pod that had to end until all were gone. */
  readonly removal: number;
  /** Core-seconds that the whole machine worked until all were Running. */
  readonly cpuSeconds: number;
  /** Those of single processes. */
  readonly processes: ProcessCpu;
  /** The kubelet's work until all were Running. */
  readonly mounts: Work;
  readonly publishes: Work;
  readonly waiting: Work;
}

const MINUTES_10 = 600;

/** Starts pods of a kind, waits until all run, and ends them. */
export async function measure(cluster: Cluster, kind: Kind, count: number): Promise<Measured> {
  await using watch = watchPods(cluster, NAMESPACE);
  const before = await volumeWork(cluster);
  const processesBefore = await processCpu(cluster);
  const cpuBefore = cpuSeconds();
  await cluster.apply(podsOf(kind, count));
  await watch.until(`${count} pods with ${kind.name} are Running`, MINUTES_10, ({ running }) => running === count);
  const cpu = cpuSeconds() - cpuBefore;
  const processes = cpuBetween(processesBefore, await processCpu(cluster));
  const after = await volumeWork(cluster);
  await cluster.kubectl('delete', 'pods', '--all', '--wait=false', `--namespace=${NAMESPACE}`);
  await watch.until(`${count} pods with ${kind.name} are gone`, MINUTES_10, ({ gone }) => gone === count);
  const between = (of: (work: VolumeWork) => Work) => workBetween(of(before), of(after));
  return {
    kind: kind.name,
    startup: watch.history.startup(),
    removal: watch.history.removal(),
    cpuSeconds: cpu,
    processes,
    mounts: between((work) => work.mounts(kind.plugin)),
    publishes: between((work) => (kind.driver === undefined ? { count: 0, seconds: 0 } : work.publishes(kind.driver))),
    waiting: between(({ waiting }) => waiting),
  };
}

/** Waits until nothing is left of earlier pods, and the machine does nothing else. */
export async function rest(cluster: Cluster): Promise<void> {
  // The kubelet removes the sandboxes of pods that are gone once a minute.
  await eventually('the node has no sandbox of a pod that is gone', 180, async () => {
    const [sandboxes, pods] = [
      await sandboxesOf(cluster),
      await cluster.kubectl('get', 'pods', '--all-namespaces', '--output=name'),
    ];
    return sandboxes <= pods.split('\n').length;
  });
  await eventually('the machine is at rest; end what else runs on it', 300, async () => {
    const before = cpuSeconds();
    await sleep(3000);
    return cpuSeconds() - before < 3 * cpus().length * MOST_BUSY;
  });
}

/** What an idle cluster takes, and more. */
const MOST_BUSY = 0.25;

async function sandboxesOf(cluster: Cluster): Promise<number> {
  const sandboxes = 'labels."io.cri-containerd.kind"==sandbox';
  const list = await cluster.run('ctr', 'containers', 'list', '--quiet', sandboxes);
  return list.split('\n').filter((id) => id !== '').length;
}

async function volumeWork(cluster: Cluster): Promise<VolumeWork> {
  return readVolumeWork(await cluster.kubectl('get', `--raw=/api/v1/nodes/${NODE_NAME}/proxy/metrics`));
}

/** CPU time of everything on this machine so far, in core-seconds. */
function cpuSeconds(): number {
  const busy = cpus().map(({ times: { user, nice, sys, irq } }) => user + nice + sys + irq);
  return busy.reduce((sum, milliseconds) => sum + milliseconds, 0) / 1000;
}
