import type { Socket } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { unavailable } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { AdaptedService } from './adapter.ts';
import { listenUnix } from './unix-socket.ts';

/** A gRPC server on a unix socket. */
export interface RpcServer {
  /** Throws UNAVAILABLE, saying why, while the server cannot be reached by its path. */
  requireReachable(): void;
  /** Replaces the socket with a new one. Throws BadConfiguration if that fails, and retries in the background. */
  renew(): Promise<void>;
  /** Takes no more calls, removes the socket, lets calls in progress finish for `timeoutMs`, and cancels the rest. */
  stop(timeoutMs: number): Promise<void>;
}

/** How a server reports what happens to its socket. */
export interface RpcServerOptions {
  readonly log: Pick<Logger, 'warn' | 'error'>;
  /** The socket was removed or replaced. It is made again as soon as possible. */
  lost?(): void;
}

/** No CSI message comes near this; larger ones are rejected before they are decoded. */
const MAX_MESSAGE_BYTES = 1 << 20;

/** How often the path is checked. */
const CHECK_MS = 1000;

/**
 * Serves `services` on a socket at `path` with mode 0600, and makes it again when it is removed. A stale socket is replaced; throws
 * BadConfiguration when the path cannot be used, for example because a live process serves it.
 *
 * Idle connections are never closed: sidecars that are built on csi-lib-utils take a closed connection for the driver's end, and exit.
 * https://github.com/kubernetes-csi/csi-lib-utils/blob/v0.24.0/connection/connection.go (ExitOnConnectionLoss)
 */
export async function listen(
  path: string,
  services: readonly AdaptedService[],
  { log, lost }: RpcServerOptions,
): Promise<RpcServer> {
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.enable_channelz': 0,
  });
  for (const { definition, implementation } of services) server.addService(definition, implementation);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Set<Socket>();
  const bind = () =>
    listenUnix(path, (connection) => {
      connections.add(connection);
      connection.once('close', () => connections.delete(connection));
      injector.injectConnection(connection);
    });
  let listener = await bind();
  /** Why the socket is missing; undefined: it exists, as far as is known. */
  let problem: string | undefined;
  let renewing: Promise<void> | undefined;

  function renew(): Promise<void> {
    renewing ??= (async () => {
      listener.close();
      try {
        listener = await bind();
        problem = undefined;
      } catch (error) {
        const { message } = error as Error;
        if (message !== problem) log.error({ path, error: message }, 'nobody can reach this socket');
        problem = message;
        throw error;
      } finally {
        renewing = undefined;
      }
    })();
    return renewing;
  }

  const timer = setInterval(() => {
    if (renewing !== undefined || (problem === undefined && listener.isThere())) return;
    if (problem === undefined) {
      log.warn({ path }, 'the socket was removed; it is made anew');
      lost?.();
    }
    renew().catch(() => undefined);
  }, CHECK_MS).unref();

  return {
    requireReachable() {
      if (problem === undefined && (renewing !== undefined || listener.isThere())) return;
      throw unavailable(
        `nobody can reach ${path}: ${problem ?? 'it was removed, or is the socket of another process'}`,
      );
    },
    renew,
    async stop(timeoutMs) {
      clearInterval(timer);
      await renewing?.catch(() => undefined);
      listener.close();
      // Reports a connection with a call in progress as closed, and closes none. That is why connections are tracked here.
      server.tryShutdown(() => undefined);
      const late = setTimeout(() => {
        for (const connection of connections) connection.destroy();
      }, timeoutMs);
      await Promise.all([...connections].map(closed));
      clearTimeout(late);
    },
  };
}

/** Also when it breaks: `once` of node:events would reject then, and the calls of all other connections would be lost. */
function closed(connection: Socket): Promise<void> {
  return new Promise((resolve) => {
    connection.once('close', () => resolve());
  });
}
