import type { ChildProcess } from 'node:child_process';
import { createKubelet } from '../../src/cli/kubelet.ts';
import { end, type LocalNode } from '../../src/cli/local-node.ts';
import { createPinner } from '../../src/pinner/pinner.ts';
import type { BenchNode } from './bench-node.ts';
import { listening } from './listening.ts';
import { attribute, counts, load } from './load-client.ts';
import { cpuSeconds, residentMebibytes } from './process-usage.ts';
import { median } from './rounds.ts';
import { MAPS, mapsAttribute } from './shape.ts';

/** What a process takes. */
export interface ProcessFigures {
  /** From its start to its first answer. */
  readonly startMilliseconds: number;
  readonly idleMebibytes: number;
  /** After all publishes. */
  readonly mebibytes: number;
  /** Of a publish or an unpublish, with 8 callers; of a warm process. */
  readonly cpuMilliseconds: number;
}

/** What both processes of a node take: their start, and what `publishes` volumes do to them, the first fifth being their warm-up. */
export async function measureProcesses(
  bench: BenchNode,
  { starts, publishes }: { readonly starts: number; readonly publishes: number },
): Promise<Readonly<Record<'pinner' | 'nodePlugin', ProcessFigures>>> {
  const { node } = bench;
  const started = { pinner: await startOfPinner(node, starts), nodePlugin: await startOfNodePlugin(node, starts) };
  await node.ready();
  const look = async (process: ChildProcess) => ({
    mebibytes: await residentMebibytes(process.pid ?? Number.NaN),
    cpu: await cpuSeconds(process.pid ?? Number.NaN),
  });
  const lookAtBoth = async () => ({ pinner: await look(node.pinner()), nodePlugin: await look(node.nodePlugin()) });
  const idle = await lookAtBoth();
  const publish = (count: number) =>
    load(bench, [...attribute('maps', mapsAttribute(MAPS, 'ro')), ...counts(8, count)]);
  const warmUp = publishes / 5;
  await publish(warmUp);
  const before = await lookAtBoth();
  await publish(publishes - warmUp);
  const after = await lookAtBoth();
  const figures = (process: 'pinner' | 'nodePlugin'): ProcessFigures => ({
    startMilliseconds: started[process],
    idleMebibytes: idle[process].mebibytes,
    mebibytes: after[process].mebibytes,
    cpuMilliseconds: ((after[process].cpu - before[process].cpu) * 1000) / (2 * (publishes - warmUp)),
  });
  return { pinner: figures('pinner'), nodePlugin: figures('nodePlugin') };
}

function startOfPinner(node: LocalNode, starts: number): Promise<number> {
  return medianStart(starts, node.pinner, node.startPinner, node.pinnerSocket, async () => {
    const client = createPinner(node.pinnerSocket);
    await client.getNode({ deadline: Date.now() + 5000 });
    client.close();
  });
}

function startOfNodePlugin(node: LocalNode, starts: number): Promise<number> {
  return medianStart(starts, node.nodePlugin, node.startNodePlugin, node.csiSocket, async () => {
    const kubelet = createKubelet(node.csiSocket, node.kubeletDirectory);
    await kubelet.probe();
    kubelet.close();
  });
}

/** Milliseconds from a process's start to its first answer. */
async function medianStart(
  starts: number,
  process: () => ChildProcess,
  start: () => void,
  socket: string,
  ask: () => Promise<unknown>,
): Promise<number> {
  const milliseconds: number[] = [];
  for (let run = 0; run < starts; run++) {
    await end(process(), 'SIGTERM');
    const begin = performance.now();
    start();
    await listening(socket, process());
    await ask();
    milliseconds.push(performance.now() - begin);
  }
  return median(milliseconds);
}
