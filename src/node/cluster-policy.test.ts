import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger } from '../logger.ts';
import { openClusterPolicy } from './cluster-policy.ts';
import { createNodeMetrics } from './metrics.ts';

test('logs how long known objects stay in use without the API server', { timeout: 10_000 }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'bpffs-policy-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const nobody = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  t.after(() => nobody.close());
  await once(nobody, 'listening');
  const kubeconfig = join(directory, 'config');
  const config = {
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${(nobody.address() as AddressInfo).port}` } }],
    users: [{ name: 'u', user: { token: 't' } }],
  };
  writeFileSync(kubeconfig, JSON.stringify(config));
  const said = new Map<unknown, unknown>();
  const all = Promise.withResolvers<void>();
  const write = (line: string) => {
    const { resource, message } = JSON.parse(line);
    said.set(resource, message);
    if (said.size === 3) all.resolve();
  };
  const names = { driverName: 'csi.bpffs.dev', nodeId: 'node-1', kept: async () => [] };
  const log = createLogger('info', { write });
  const policy = openClusterPolicy({ kind: 'cluster', kubeconfig }, names, log, createNodeMetrics());
  t.after(() => policy.close());
  await all.promise;
  const known = 'the API server is not heard; what is known stays in use';
  assert.deepEqual(Object.fromEntries(said), {
    bpfmaps: `${known} for 5 minutes`,
    bpfvolumes: `${known} for 5 minutes`,
    csidrivers: known,
  });
});
