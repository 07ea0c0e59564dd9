import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { joinSockets } from './join-sockets.ts';

/** A relay to a port on loopback that can be cut: open connections break, and new ones are refused. */
export interface Cable {
  readonly port: number;
  /** Connections made since the start. */
  connections(): number;
  cut(): void;
  mend(): void;
  /** Connections stay, but nothing comes through in either direction. */
  hang(): void;
  close(): void;
}

export async function layCable(to: number): Promise<Cable> {
  const ends = new Set<Socket>();
  let state: 'whole' | 'cut' | 'hanging' = 'whole';
  let connections = 0;
  const server = createServer((near) => {
    connections += 1;
    if (state === 'cut') return void near.destroy();
    const far = connect(to, '127.0.0.1');
    joinSockets(near, far, ends);
    if (state === 'whole') near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const destroyAll = () => {
    for (const end of ends) end.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    cut() {
      state = 'cut';
      destroyAll();
    },
    mend() {
      state = 'whole';
      destroyAll();
    },
    hang() {
      state = 'hanging';
      for (const end of ends) end.unpipe();
    },
    close() {
      server.close();
      destroyAll();
    },
  };
}
