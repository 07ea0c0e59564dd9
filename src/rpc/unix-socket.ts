import { lstatSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { BadConfiguration } from '../errors.ts';

/**
 * Makes way for a socket at `path`: removes what a dead process left there. Throws BadConfiguration when a live process
 * answers, or when the path is no socket; both are left untouched.
 */
export async function clearSocketPath(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new BadConfiguration([`${path} exists and is not a socket`]);
  if (await answers(path)) throw new BadConfiguration([`another process serves ${path}`]);
  rmSync(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else if (error.code === 'EAGAIN')
        resolve(true); // its backlog is full
      else reject(new BadConfiguration([`${path}: ${error.message}`]));
    });
  });
}

/** Runs `bind` such that a socket it makes has mode 0600 from its first moment. */
export async function withPrivateUmask<T>(bind: () => Promise<T>): Promise<T> {
  const before = process.umask(0o177);
  try {
    return await bind();
  } finally {
    process.umask(before);
  }
}
