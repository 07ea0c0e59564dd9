import { randomBytes } from 'node:crypto';
import { linkSync, lstatSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { BadConfiguration } from '../errors.ts';

/** A socket in the filesystem, with mode 0600, at which this process listens. */
export interface UnixListener {
  /** Whether its path still leads here: anybody may remove a file, or put another in its place. */
  isThere(): boolean;
  /** Takes no more connections, and removes the path if it still leads here. Connections that were accepted stay. */
  close(): void;
}

/**
 * Listens at `path`. What a dead process left there is replaced; throws BadConfiguration when the path cannot be had, as when a live
 * process serves it.
 */
export async function listenUnix(path: string, accept: (connection: Socket) => void): Promise<UnixListener> {
  // When libuv closes a socket it removes the path that the socket was bound to, whosever it is by then. So it is bound to a name of
  // its own, which is gone as soon as the socket has its other name. The kubelet passes over names that begin with a dot.
  const bound = join(dirname(path), `.${randomBytes(5).toString('base64url')}`);
  const server = createServer(accept);
  try {
    // libuv would say EACCES of a directory that is not there.
    statSync(dirname(path));
    await clearSocketPath(path);
    await bind(server, bound);
    const { ino } = lstatSync(bound, { bigint: true });
    linkSync(bound, path);
    // No other file has this inode's number as long as the socket is open.
    const isThere = () => inodeOf(path) === ino;
    return {
      isThere,
      close() {
        if (isThere()) rmSync(path, { force: true });
        server.close();
      },
    };
  } catch (error) {
    server.close();
    if (error instanceof BadConfiguration) throw error;
    throw new BadConfiguration([`cannot listen on ${path}: ${(error as Error).message.replace(bound, path)}`]);
  } finally {
    rmSync(bound, { force: true });
  }
}

function inodeOf(path: string): bigint | undefined {
  try {
    return lstatSync(path, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}

/** Removes what a dead process left at `path`. Throws BadConfiguration when a live one answers, or when the path is no socket. */
async function clearSocketPath(path: string): Promise<void> {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new BadConfiguration([`${path} exists and is not a socket`]);
  if (await answers(path)) throw new BadConfiguration([`another process serves ${path}`]);
  // Another that starts at the same moment may have been faster.
  if (inodeOf(path) === stat.ino) rmSync(path, { force: true });
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

/** With mode 0600 from its first moment: `listen` binds before it returns. */
function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const before = process.umask(0o177);
    try {
      server.listen(path, resolve);
    } finally {
      process.umask(before);
    }
  });
}
