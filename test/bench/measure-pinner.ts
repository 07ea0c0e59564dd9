import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { BenchNode } from './bench-node.ts';
import type { Calls } from './load-client.ts';
import type { Effort } from './measure-calls.ts';
import { inTurn, medianOfRounds } from './rounds.ts';
import { MAPS, SHAPES, type Shape } from './shape.ts';

/** Microseconds of a pair: the system calls in a bare loop, and the pinner's two RPCs on a kept connection; and their ratio. */
export type PinnerFigures = Readonly<Record<'bare' | 'rpc' | 'rpcOfBare', number>>;

/** The pinner beside the system calls that it makes, for each shape. */
export function measurePinner({ node }: BenchNode, effort: Effort): Promise<readonly PinnerFigures[]> {
  const measure = async (what: string, { access, callers }: Shape) => {
    const { stdout } = await execa(await floorProgram(), [
      ...[what, '--socket', node.pinnerSocket, '--kubelet-dir', node.kubeletDirectory, '--pins', node.pins],
      ...['--maps', `${MAPS}`, '--writable', `${access === 'rw' ? MAPS : 0}`],
      ...['--callers', `${callers}`, '--count', `${effort.calls}`],
    ]);
    const { calls } = JSON.parse(stdout) as { readonly calls: { readonly publish: Calls } };
    // The time on the clock: with more callers than cores, the bare loop's p50 does not see the waiting.
    return (callers / calls.publish.per_second) * 1e6;
  };
  return medianOfRounds(effort.rounds, () =>
    inTurn(SHAPES, async (shape) => {
      const [bare, rpc] = [await measure('bare', shape), await measure('rpc', shape)];
      return { bare, rpc, rpcOfBare: rpc / bare };
    }),
  );
}

/** cargo appends a hash to the name of the program. */
async function floorProgram(): Promise<string> {
  const directory = process.env.FLOOR_DIRECTORY ?? '';
  const name = (await readdir(directory)).find((file) => /^floor-[0-9a-f]+$/.test(file));
  if (name === undefined) throw new Error(`no floor program in ${directory}: run make bench`);
  return join(directory, name);
}
