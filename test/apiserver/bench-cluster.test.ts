import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LEASE } from '../bench/cluster/controller.ts';
import { makePods, PODS_PER_NODE } from '../bench/cluster/fleet.ts';
import { measure } from '../bench/cluster/measure.ts';
import { startSurroundings } from '../bench/cluster/surroundings.ts';

test('make bench-cluster counts what nodes ask for at their start', async () => {
  await using stack = new AsyncDisposableStack();
  const { api, pinner } = await startSurroundings(stack);
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
