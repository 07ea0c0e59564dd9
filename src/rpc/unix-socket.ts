import { randomBytes } from 'node:crypto';
import { linkSync, lstatSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { BadConfiguration } from '../errors.ts';

/** A listening unix socket with mode 0600. */
export interface UnixListener {
  /** Whether its path still leads here: anybody may remove a file, or replace it. */
  isThere(): boolean;
  /** Takes no more connections, and removes the path if it still leads here. Accepted connections stay. */
  close(): void;
}

/**
 * Listens at `path`. A dead process's socket is replaced; throws BadConfiguration when the path cannot be used, for example because a live
 * process serves it.
 */
export async function listenUnix(path: string, accept: (connection: Socket) => void): Promise<UnixListener> {
  // When libuv closes a socket it removes the path that the socket was bound to, even if another process has replaced it. So the socket is
  // bound to a temporary path, which is removed once the socket has its final one. The kubelet ignores names that begin with a dot.
  const bound = join(dirname(path), `.${randomBytes(5).toString('base64url')}`);
  const server = createServer(accept);
  try {
    // libuv would report a missing directory as EACCES.
    statSync(dirname(path));
    await clearSocketPath(path);
    await bind(server, bound);
    const { ino } = lstatSync(bound, { bigint: true });
    linkSync(bound, path);
    // The inode number is not reused as long as the socket is open.
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

/** Removes a dead process's socket. Throws BadConfiguration when a live process answers, or the path is not a socket. */
async function clearSocketPath(path: string): Promise<void> {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new BadConfiguration([`${path} exists and is not a socket`]);
  if (await answers(path)) throw new BadConfiguration([`another process serves ${path}`]);
  // Another process that starts at the same time may have replaced it.
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

/** The socket has mode 0600 from the start: `listen` binds before it returns. */
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
