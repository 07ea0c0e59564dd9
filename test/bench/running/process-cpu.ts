import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from '../../cluster/cluster.ts';
import { cpuSecondsIn } from '../process-usage.ts';

/** Processes of the node, by their command lines. */
const PROCESSES = {
  kubelet: /^kubelet /,
  'API server': /^kube-apiserver /,
  etcd: /^etcd /,
  containerd: /^containerd /,
  'bind driver': /^\/bind /,
  'node plugin': /csi-driver-bpffs\.cjs node /,
  pinner: /^bpffs-pinner --socket=\S+ --/,
} as const;

export type ProcessName = keyof typeof PROCESSES;
export const PROCESS_NAMES = Object.keys(PROCESSES) as readonly ProcessName[];

/** Core-seconds of each process. */
export type ProcessCpu = Readonly<Record<ProcessName, number>>;

/** What the processes have used so far. One that does not run has used nothing. */
export async function processCpu(cluster: Cluster): Promise<ProcessCpu> {
  const used = Object.fromEntries(PROCESS_NAMES.map((name) => [name, 0])) as Record<ProcessName, number>;
  const proc = cluster.node.path('/proc');
  for (const pid of await readdir(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    // It may have ended.
    const command = await readFile(join(proc, pid, 'cmdline'), 'utf8').catch(() => '');
    const name = PROCESS_NAMES.find((process) => PROCESSES[process].test(command.replaceAll('\0', ' ')));
    if (name !== undefined) used[name] += await cpuSecondsIn(join(proc, pid)).catch(() => 0);
  }
  return used;
}

/** The use between two moments. */
export function cpuBetween(before: ProcessCpu, after: ProcessCpu): ProcessCpu {
  return Object.fromEntries(PROCESS_NAMES.map((name) => [name, after[name] - before[name]])) as ProcessCpu;
}
