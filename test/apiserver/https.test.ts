import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { createTransport, type Transport } from '../../src/kubernetes/transport.ts';
import { makePki } from '../cluster/pki.ts';
import { configOf } from './kube-config.ts';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bpffs-https-'));
  await makePki(directory);
});
after(() => rm(directory, { recursive: true, force: true }));

/** A server that answers the first request on a connection, and at the second runs `before` and breaks the connection. */
async function breaking(
  before: 'nothing' | 'half an answer',
  use: (transport: Transport, asked: () => number) => Promise<void>,
) {
  const [ca, key, cert] = await Promise.all(
    ['ca.crt', 'kube-apiserver.key', 'kube-apiserver.crt'].map((file) => readFile(join(directory, file), 'utf8')),
  );
  let asked = 0;
  const raw = new Set<Socket>();
  const server = createServer({ key, cert }, (_, response) => {
    asked += 1;
    if (asked !== 2) return void response.end('whole');
    const reset = () => {
      for (const socket of raw) socket.resetAndDestroy();
    };
    if (before === 'nothing') return reset();
    response.setHeader('content-length', 1000);
    response.write('half', () => setTimeout(reset, 100));
  });
  server.on('connection', (socket) => raw.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const transport = createTransport(configOf(port, { ca: ca ?? '' }));
  try {
    await use(transport, () => asked);
  } finally {
    transport.close();
    server.closeAllConnections();
    server.close();
  }
}

const signal = () => AbortSignal.timeout(10_000);
const request = { method: 'POST', path: '/', body: {} };

test('a kept connection that breaks before an answer is not noticed', () =>
  breaking('nothing', async (transport, asked) => {
    assert.equal(await text(await transport.send(request, signal())), 'whole');
    assert.equal(await text(await transport.send(request, signal())), 'whole');
    assert.equal(asked(), 3);
  }));

test('one that breaks within an answer is, and nothing is asked a second time', () =>
  breaking('half an answer', async (transport, asked) => {
    assert.equal(await text(await transport.send(request, signal())), 'whole');
    await assert.rejects(text(await transport.send(request, signal())), { code: 'ECONNRESET' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(asked(), 2);
  }));
