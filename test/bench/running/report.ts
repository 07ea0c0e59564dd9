import { markdownTable } from '../markdown-table.ts';
import { median } from '../rounds.ts';
import { BIND, KINDS } from './kinds.ts';
import type { Work } from './kubelet-metrics.ts';
import type { Measured } from './measure.ts';
import { PROCESS_NAMES } from './process-cpu.ts';

/** How a run was made. */
export interface Run {
  readonly pods: number;
  readonly rounds: number;
  readonly cores: number;
  readonly version: string;
}

/** The tables of a run, in Markdown: medians of the rounds. */
export function report({ pods, rounds, cores, version }: Run, measured: readonly Measured[]): string {
  const medians = (kind: string, of: (one: Measured) => number) =>
    median(measured.filter((one) => one.kind === kind).map(of));
  const times = KINDS.map(({ name }) => {
    const startup = (kind: string) => medians(kind, (one) => one.startup);
    return {
      'pods with': name,
      'all Running, s': startup(name),
      'of the bind driver': `${(startup(name) / startup(BIND.name)).toFixed(2)} ×`,
      'each round, s': measured
        .filter(({ kind }) => kind === name)
        .map((one) => one.startup.toFixed(1))
        .join(', '),
      'all gone, s': medians(name, (one) => one.removal),
    };
  });
  const cpu = KINDS.map(({ name }) => ({
    'pods with': name,
    together: medians(name, (one) => (one.cpuSeconds / pods) * 1000),
    ...Object.fromEntries(
      PROCESS_NAMES.map((process) => [process, medians(name, (one) => (one.processes[process] / pods) * 1000)]),
    ),
  }));
  const work = KINDS.map(({ name, driver }) => ({
    'pods with': name,
    'mounts a pod': medians(name, (one) => one.mounts.count / pods),
    'a mount, ms': medians(name, (one) => mean(one.mounts)),
    'NodePublishVolume calls a pod': driver === undefined ? 0 : medians(name, (one) => one.publishes.count / pods),
    'a call, ms': driver === undefined ? 0 : medians(name, (one) => mean(one.publishes)),
    'kept back, s': medians(name, (one) => one.waiting.seconds),
  }));
  return [
    `Measured with Kubernetes ${version} on one node with ${cores} cores, ${pods} pods at once, medians of ${rounds} rounds:`,
    markdownTable(times),
    'CPU time for each pod until all were Running, in core-milliseconds: of the whole machine, and of some of its processes:',
    markdownTable(cpu),
    'What the kubelet did for these volumes until all were Running; durations are means:',
    markdownTable(work),
  ].join('\n\n');
}

/** Milliseconds for one. */
function mean({ count, seconds }: Work): number {
  return count === 0 ? 0 : (seconds / count) * 1000;
}
