import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { joinSockets } from './join-sockets.ts';

/** A proxy to other servers. */
export interface Proxy {
  readonly port: number;
  /** Connections that it has made. */
  connections(): number;
  close(): void;
}

/** HTTP CONNECT: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6 */
export function startHttpProxy(): Promise<Proxy> {
  const server = createHttpServer();
  return start(server, (tunnel) => {
    server.on('connect', ({ url = '' }, near: Socket) => {
      const { hostname, port } = new URL(`tcp://${url}`);
      tunnel(near, Number(port), hostname, 'HTTP/1.1 200 OK\r\n\r\n');
    });
  });
}

/** SOCKS 5, to IPv4 addresses and without authentication: https://www.rfc-editor.org/rfc/rfc1928 */
export function startSocksProxy(): Promise<Proxy> {
  const server = createServer();
  return start(server, (tunnel) => {
    server.on('connection', async (near) => {
      await once(near, 'data');
      near.write(Buffer.of(5, 0));
      const [asked] = (await once(near, 'data')) as [Buffer];
      near.pause();
      tunnel(near, asked.readUInt16BE(8), asked.subarray(4, 8).join('.'), Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    });
  });
}

type Tunnel = (near: Socket, port: number, host: string, answer: string | Buffer) => void;

async function start(server: Server, serve: (tunnel: Tunnel) => void): Promise<Proxy> {
  const ends = new Set<Socket>();
  let connections = 0;
  serve((near, port, host, answer) => {
    connections += 1;
    const far = connect(port, host);
    joinSockets(near, far, ends);
    near.write(answer);
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    close() {
      server.close();
      for (const end of ends) end.destroy();
    },
  };
}
