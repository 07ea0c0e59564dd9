import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cluster } from './running.ts';

const BIN = join(import.meta.dirname, 'bin');

/** Has the program xdp_limit with its map limits in the kernel, until it is disposed of: limiter.c. */
export async function startLimiter(): Promise<AsyncDisposable> {
  await mkdir(BIN, { recursive: true });
  const program = join(BIN, 'limiter');
  await execa('cc', ['-static', '-o', program, join(import.meta.dirname, 'limiter.c')]);
  const [command, ...args] = cluster.node.enter([program]);
  const limiter = execa(command, args, { stdin: 'pipe' });
  // It says one line, or ends.
  await Promise.race([once(limiter.stdout, 'data'), limiter]);
  return {
    async [Symbol.asyncDispose]() {
      limiter.stdin.end();
      await limiter;
    },
  };
}
