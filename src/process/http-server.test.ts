import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { listenHttp } from './http-server.ts';

test('without a host it listens on the addresses of both families', async () => {
  const routes = { '/': async () => ({ status: 200, body: 'here' }) };
  const server = await listenHttp({ host: '', port: 0 }, { routes, methods: ['GET'], maxConnections: 16 });
  try {
    const port = server.address.split(':').at(-1);
    const interfaces = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    const hosts = interfaces.map(({ address, family, scopeid }) =>
      family === 'IPv6' ? (scopeid === 0 ? `[${address}]` : undefined) : address,
    );
    assert(hosts.includes('127.0.0.1'));
    for (const host of hosts) {
      if (host !== undefined) assert.equal(await (await fetch(`http://${host}:${port}/`)).text(), 'here', host);
    }
  } finally {
    server.close();
  }
});
