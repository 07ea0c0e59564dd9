import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { unavailable } from '../errors.ts';
import { type Inspection, type ReportLimits, serveInspection } from './serve-inspection.ts';

/** Serves reports that `make` makes, until the test ends. */
async function served(t: { after(end: () => void): void }, make: (limits: ReportLimits) => Promise<object>, ms = 5000) {
  const report = make as Inspection['node'];
  const inspection = { volumes: report, denials: report, node: report } as unknown as Inspection;
  const server = await serveInspection({ host: '127.0.0.1', port: 0 }, inspection, ms);
  t.after(() => server.close());
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://${server.address}${path}`, { method });
    return [response.status, await response.text()] as const;
  };
  return { get, port: Number(server.address.split(':')[1]), address: server.address };
}

test('only GET, and only the three reports', async (t) => {
  const { get, address } = await served(t, async () => ({ node: 'n' }));
  for (const path of ['/volumes', '/denials', '/node', '/node?all']) {
    assert.deepEqual(await get(path), [200, '{"node":"n"}\n'], path);
  }
  assert.equal((await fetch(`http://${address}/node`)).headers.get('content-type'), 'application/json');
  for (const path of ['/', '/metrics', '/volumes/x', '/__proto__', '/constructor']) {
    assert.deepEqual(await get(path), [404, 'only /volumes, /denials, /node\n'], path);
  }
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    assert.deepEqual(await get('/node', method), [405, 'only GET\n'], method);
  }
  assert.deepEqual(await get('/node', 'HEAD'), [405, '']);
});

test('an error is 503 with its text, and the next report is made anew', async (t) => {
  const errors: readonly Error[] = [unavailable('the pinner is away: start it'), new TypeError('a bug')];
  const left = [...errors];
  const { get } = await served(t, async () => {
    const error = left.shift();
    if (error !== undefined) throw error;
    return {};
  });
  assert.deepEqual(await get('/volumes'), [503, 'the pinner is away: start it\n']);
  assert.deepEqual(await get('/volumes'), [503, 'unexpected: a bug\n']);
  assert.deepEqual(await get('/volumes'), [200, '{}\n']);
});

test('who asks while a report is made gets the same one, and another kind is made beside it', async (t) => {
  let made = 0;
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const { get } = await served(t, async () => {
    const number = ++made;
    await ready;
    return { number };
  });
  const asked = Promise.all(['/node', '/node', '/node', '/volumes'].map((path) => get(path)));
  while (made < 2) await new Promise((tick) => setImmediate(tick));
  resolve();
  const bodies = (await asked).map(([, body]) => body);
  assert.equal(new Set(bodies.slice(0, 3)).size, 1);
  assert.notEqual(bodies[3], bodies[0]);
  assert.equal(made, 2);
});

test('a report that takes too long is given up, told so, and not made twice at a time', async (t) => {
  const late = [503, 'the report of volumes takes more than 0.05 s: the node is busy; try again\n'];
  let making = 0;
  const heeding = await served(
    t,
    ({ signal, deadline }) => {
      assert(deadline > Date.now());
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
    50,
  );
  assert.deepEqual(await heeding.get('/volumes'), late);
  const heedless = await served(
    t,
    () => {
      making += 1;
      return new Promise(() => {});
    },
    50,
  );
  assert.deepEqual(await heedless.get('/volumes'), late);
  assert.deepEqual(await heedless.get('/volumes'), late);
  assert.equal(making, 1);
});

test('connections have a bound, and those that ask nothing end', async (t) => {
  const { get, port } = await served(t, async () => ({}));
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    await once(socket, 'connect');
    return socket;
  };
  const idle = await Promise.all(Array.from({ length: 16 }, open));
  const refused = await open();
  if (!refused.closed) await once(refused, 'close');
  assert.equal(idle.filter(({ closed }) => closed).length, 0);
  idle[0]?.write('GET /node HTTP/1.1\r\nhost: x\r\n');
  await Promise.all(idle.map((socket) => socket.closed || once(socket, 'close')));
  assert.deepEqual(await get('/node'), [200, '{}\n']);
});
