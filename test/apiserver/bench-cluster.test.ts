import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createPinner } from '../../src/pinner/pinner.ts';
import { LEASE, startController } from '../bench/cluster/controller.ts';
import { makeCluster, makePods, PODS_PER_NODE } from '../bench/cluster/fleet.ts';
import { measure } from '../bench/cluster/measure.ts';
import { startFakePinner } from '../node-plugin/fake-pinner.ts';
import { startApiServer } from './api-server.ts';

test('make bench-cluster counts what nodes ask for at their start', async () => {
  await using stack = new AsyncDisposableStack();
  const api = await startApiServer();
  stack.defer(() => api.stop());
  const socket = join(api.directory, 'pinner.sock');
  const fake = await startFakePinner(socket);
  stack.defer(() => fake.stop());
  const pinner = createPinner(socket);
  stack.defer(() => pinner.close());
  await makeCluster(api);
  stack.use(await startController(api));
  const nodes = 2;
  const options = { api, lease: LEASE, pinner, firstSeconds: 1, steadySeconds: 1, withdraws: false };
  const { start, firstLooks, failures } = await measure(await makePods(api, nodes), options);
  assert.equal(failures, 0);
  // The CSIDriver object, BpfMaps, BpfVolumes and the Lease.
  assert.equal(start.requests.lists, 4 * nodes);
  assert.equal(start.requests.watches, 4 * nodes);
  assert.equal(firstLooks.requests.TokenReviews, PODS_PER_NODE * nodes);
  assert.equal(firstLooks.requests.SubjectAccessReviews, 2 * PODS_PER_NODE * nodes);
});
