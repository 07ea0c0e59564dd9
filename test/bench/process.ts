import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { createKubelet } from '../../src/cli/kubelet.ts';
import { end, type LocalNode } from '../../src/cli/local-node.ts';
import { createPinner } from '../../src/pinner/pinner.ts';
import type { Row } from './table.ts';

/** Resident memory of a process in MiB. */
async function residentMebibytes(process: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${process.pid}/status`, 'utf8');
  return Math.round((Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024) * 10) / 10;
}

/** Memory of both processes before and after `publish`, which makes many calls. */
export async function measureMemory(node: LocalNode, publish: () => Promise<unknown>): Promise<readonly Row[]> {
  const measure = async () =>
    [await residentMebibytes(node.pinner()), await residentMebibytes(node.nodePlugin())] as const;
  const idle = await measure();
  await publish();
  const after = await measure();
  return [
    { process: 'pinner', idle: idle[0], 'after 10,000 publishes': after[0] },
    { process: 'node plugin', idle: idle[1], 'after 10,000 publishes': after[1] },
  ];
}

/** Milliseconds from a process's start to its first answer, for several starts. */
export async function measureStart(node: LocalNode, runs: number): Promise<readonly Row[]> {
  const pinner = await measureRuns(runs, node.pinner, node.startPinner, node.pinnerSocket, async () => {
    const client = createPinner(node.pinnerSocket);
    await client.getNode({ deadline: Date.now() + 5000 });
    client.close();
  });
  const nodePlugin = await measureRuns(runs, node.nodePlugin, node.startNodePlugin, node.csiSocket, async () => {
    const kubelet = createKubelet(node.csiSocket, node.kubeletDirectory);
    await kubelet.probe();
    kubelet.close();
  });
  return [
    { process: 'pinner', ...pinner },
    { process: 'node plugin', ...nodePlugin },
  ];
}

async function measureRuns(
  runs: number,
  process: () => ChildProcess,
  start: () => void,
  socket: string,
  ask: () => Promise<unknown>,
): Promise<Row> {
  const milliseconds: number[] = [];
  for (let run = 0; run < runs; run++) {
    await end(process(), 'SIGTERM');
    const begin = performance.now();
    start();
    await listening(socket);
    await ask();
    milliseconds.push(performance.now() - begin);
  }
  milliseconds.sort((a, b) => a - b);
  const at = (share: number) => Math.round((milliseconds[Math.floor((runs - 1) * share)] ?? 0) * 10) / 10;
  return { p50: at(0.5), max: at(1) };
}

/** Resolves once the socket accepts connections. */
async function listening(path: string): Promise<void> {
  for (;;) {
    const isListening = await new Promise<boolean>((resolve) => {
      const socket = connect(path, () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (isListening) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
