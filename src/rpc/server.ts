import { rmSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { BadConfiguration } from '../errors.ts';
import type { AdaptedService } from './adapter.ts';
import { clearSocketPath, withPrivateUmask } from './unix-socket.ts';

/** A gRPC server on a unix socket. */
export interface RpcServer {
  /** Takes no more calls, lets those in work finish for `timeoutMs`, cancels the rest, and removes the socket. */
  stop(timeoutMs: number): Promise<void>;
}

/** No CSI message comes near this; what is larger is refused before it is decoded. */
const MAX_MESSAGE_BYTES = 1 << 20;

/**
 * Serves `services` on a socket at `path` with mode 0600. A stale socket is replaced; throws BadConfiguration when the path
 * cannot be had, as when a live process serves it.
 *
 * A connection stays for as long as its client keeps it, however idle: sidecars that are built on csi-lib-utils take one that is
 * closed for the driver's end, and exit.
 * https://github.com/kubernetes-csi/csi-lib-utils/blob/v0.24.0/connection/connection.go (ExitOnConnectionLoss)
 */
export async function listen(path: string, services: readonly AdaptedService[]): Promise<RpcServer> {
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.enable_channelz': 0,
  });
  for (const { definition, implementation } of services) server.addService(definition, implementation);
  await clearSocketPath(path);
  await withPrivateUmask(() => bind(server, path));
  return {
    async stop(timeoutMs) {
      // forceShutdown would do nothing here: without channelz, grpc-js does not know the sessions it would have to end.
      server.drain(`unix://${path}`, timeoutMs);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      rmSync(path, { force: true });
    },
  };
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(new BadConfiguration([`cannot listen on ${path}: ${error.message}`]));
    });
  });
}
