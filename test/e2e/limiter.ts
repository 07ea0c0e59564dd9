import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cluster } from './running.ts';

const BIN = join(import.meta.dirname, 'bin');

/** The program xdp_limit with its map limits: limiter.c. */
export interface Limiter extends AsyncDisposable {
  readonly programId: number;
  readonly programTag: string;
}

/** Keeps the program loaded until disposed of. */
export async function startLimiter(): Promise<Limiter> {
  await mkdir(BIN, { recursive: true });
  const program = join(BIN, 'limiter');
  await execa('cc', ['-static', '-o', program, join(import.meta.dirname, 'limiter.c')]);
  const [command, ...args] = cluster.node.enter([program]);
  const limiter = execa(command, args, { stdin: 'pipe' });
  // Prints one line, or ends.
  const [line] = await Promise.race([once(limiter.stdout, 'data'), limiter.then(() => [''])]);
  const [id, programTag = ''] = `${line}`.trim().split(' ');
  return {
    programId: Number(id),
    programTag,
    async [Symbol.asyncDispose]() {
      limiter.stdin.end();
      await limiter;
    },
  };
}
