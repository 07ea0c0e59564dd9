import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { call, type Harness, startHarness, until } from './harness.ts';

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket, () => {
      probe.destroy();
      resolve(true);
    }).on('error', () => resolve(false));
  });
}

async function probe({ http }: Harness, path: '/healthz' | '/readyz'): Promise<readonly [number, string]> {
  const response = await fetch(`${http}${path}`);
  return [response.status, await response.text()];
}

/** A socket path in a directory of its own. */
function newSocket(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'bpffs-sockets-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'run', 'csi.sock');
}

test('a socket that is removed is made anew, and nothing else stays in its directory', async (t) => {
  const endpoint = newSocket(t);
  mkdirSync(dirname(endpoint));
  await using harness = await startHarness({ endpoint });
  assert.deepEqual(readdirSync(dirname(endpoint)), ['csi.sock']);
  rmSync(endpoint);
  assert.deepEqual(await probe(harness, '/healthz'), [
    503,
    `nobody can reach ${endpoint}: it was removed, or is the socket of another process\n`,
  ]);
  await until('it is served again', () => accepts(endpoint));
  assert.equal(statSync(endpoint).mode & 0o7777, 0o600);
  assert.equal((await call(harness.identity, harness.identity.probe, {})).response?.ready?.value, true);
  assert.deepEqual(await probe(harness, '/healthz'), [200, 'ok\n']);
  assert.deepEqual(readdirSync(dirname(endpoint)), ['csi.sock']);
  assert(harness.log.some(({ level, path }) => level === 'WARN' && path === endpoint));
});

test('while it cannot be made anew the process is unhealthy, and logs that once', async (t) => {
  const endpoint = newSocket(t);
  mkdirSync(dirname(endpoint));
  await using harness = await startHarness({ endpoint });
  renameSync(dirname(endpoint), `${dirname(endpoint)}-away`);
  await until('it says why', async () => (await probe(harness, '/healthz'))[1].includes('ENOENT'));
  const [status, text] = await probe(harness, '/readyz');
  assert.equal(status, 503);
  assert.match(text, /^nobody can reach \/.*csi\.sock: cannot listen on \/.*csi\.sock: .*ENOENT/);
  renameSync(`${dirname(endpoint)}-away`, dirname(endpoint));
  await until('it is served again', async () => (await probe(harness, '/healthz'))[0] === 200);
  assert(await accepts(endpoint));
  assert.equal(harness.log.filter(({ level, path }) => level === 'ERROR' && path === endpoint).length, 1);
});

test("another process's socket is neither taken nor, at the end, removed", async (t) => {
  const endpoint = newSocket(t);
  mkdirSync(dirname(endpoint));
  const successor = createServer((connection) => connection.destroy());
  t.after(() => successor.close());
  {
    await using harness = await startHarness({ endpoint });
    rmSync(endpoint);
    successor.listen(endpoint);
    await once(successor, 'listening');
    await until('it is noticed', async () => (await probe(harness, '/healthz'))[1].includes('another process serves'));
  }
  assert(await accepts(endpoint));
});
