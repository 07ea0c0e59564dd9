import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { startHarness } from './harness.ts';

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined).resume();
  await once(socket, 'connect');
  return socket;
}

test('connections that ask nothing are bounded in number and time, and then it serves as before', async () => {
  await using harness = await startHarness();
  const port = Number(new URL(harness.http).port);
  const idle = await Promise.all(Array.from({ length: 256 }, () => open(port)));
  const refused = await open(port);
  if (!refused.closed) await once(refused, 'close');
  assert.equal(idle.filter(({ closed }) => closed).length, 0);
  const [first] = idle;
  assert(first);
  first.write('GET /healthz HTTP/1.1\r\nhost: x\r\n');
  // Half a request times out; the others have sent nothing.
  await Promise.all(idle.map((socket) => socket.closed || once(socket, 'close')));
  assert.equal((await fetch(`${harness.http}/healthz`)).status, 200);
});
