import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientUnaryCall } from '@grpc/grpc-js';
import { call, type Harness, publishRequest, startHarness, until } from './harness.ts';

/** Publishes volume `n`, each at its own path. */
function publish({ node }: Harness, n: number, deadline?: number, started?: (running: ClientUnaryCall) => void) {
  const request = publishRequest((r) => {
    r.volumeId = `csi-${n}`;
    r.targetPath = `/var/lib/kubelet/${n}`;
  });
  return call(node, node.nodePublishVolume, request, deadline === undefined ? {} : { deadline }, started);
}

/** Makes the pinner hold publishes until the returned function is called. */
function hold({ pinner }: Harness): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  pinner.hold = promise;
  return resolve;
}

const inFlight = async ({ http }: Harness) =>
  Number(/^bpffs_csi_calls_in_flight (\d+)$/m.exec(await (await fetch(`${http}/metrics`)).text())?.[1]);

test('a second operation on a target is ABORTED, one on another target is not, be it the same volume', async () => {
  await using harness = await startHarness();
  const { node } = harness;
  const release = hold(harness);
  const first = publish(harness, 1);
  await until('the first call is in work', async () => (await inFlight(harness)) === 1);
  const again = await publish(harness, 1);
  assert.equal(again.code, 'ABORTED');
  assert.equal(again.message, 'another operation on /var/lib/kubelet/1 is in work; try again');
  const unpublish = await call(node, node.nodeUnpublishVolume, { volumeId: 'csi-1', targetPath: '/var/lib/kubelet/1' });
  assert.equal(unpublish.code, 'ABORTED');
  const other = await call(node, node.nodeUnpublishVolume, { volumeId: 'csi-1', targetPath: '/var/lib/kubelet/2' });
  assert.equal(other.code, 'OK');
  release();
  assert.equal((await first).code, 'OK');
  assert.equal((await publish(harness, 1)).code, 'OK');
});

test('beyond the queue a call is RESOURCE_EXHAUSTED; those in the queue are served; identity calls need no place', async () => {
  await using harness = await startHarness({ maxCalls: 2, maxQueuedCalls: 2 });
  const release = hold(harness);
  const calls = [1, 2, 3, 4].map((n) => publish(harness, n));
  await until('four calls are there', async () => (await inFlight(harness)) === 4);
  const fifth = await publish(harness, 5);
  assert.equal(fifth.code, 'RESOURCE_EXHAUSTED');
  assert.equal(fifth.message, 'busy: 4 calls are in work; try again');
  assert.equal((await call(harness.identity, harness.identity.probe, {})).response?.ready?.value, true);
  release();
  assert.deepEqual(
    (await Promise.all(calls)).map(({ code }) => code),
    ['OK', 'OK', 'OK', 'OK'],
  );
  assert.equal((await publish(harness, 5)).code, 'OK');
});

test('a call that is cancelled in the queue leaves it, and never reaches the pinner', async () => {
  await using harness = await startHarness({ maxCalls: 1, maxQueuedCalls: 1 });
  const release = hold(harness);
  const first = publish(harness, 1);
  await until('the first call is in work', async () => (await inFlight(harness)) === 1);
  let waiting: ClientUnaryCall | undefined;
  const second = publish(harness, 2, undefined, (running) => {
    waiting = running;
  });
  await until('the second call waits', async () => (await inFlight(harness)) === 2);
  waiting?.cancel();
  assert.equal((await second).code, 'CANCELLED');
  await until('the second call is gone', async () => (await inFlight(harness)) === 1);
  const third = publish(harness, 3);
  await until('the third call waits', async () => (await inFlight(harness)) === 2);
  release();
  assert.deepEqual([(await first).code, (await third).code], ['OK', 'OK']);
  assert.deepEqual([...harness.pinner.volumes.values()].map(({ volumeId }) => volumeId).sort(), ['csi-1', 'csi-3']);
});

test('a cancelled call is cancelled at the pinner, and its volume is free again', async () => {
  await using harness = await startHarness();
  const release = hold(harness);
  const outcome = publish(harness, 1, undefined, (running) => setTimeout(() => running.cancel(), 50));
  assert.equal((await outcome).code, 'CANCELLED');
  await until('the pinner hears of it', () => harness.pinner.cancelled.includes('PublishVolume'));
  await until('it is logged', () => harness.log.some(({ code }) => code === 'CANCELLED'));
  release();
  assert.equal((await publish(harness, 1)).code, 'OK');
});

test("the caller's deadline is the pinner's, and passes there too", async () => {
  await using harness = await startHarness();
  const release = hold(harness);
  const deadline = Date.now() + 300;
  assert.equal((await publish(harness, 1, deadline)).code, 'DEADLINE_EXCEEDED');
  assert(
    Math.abs(harness.pinner.lastDeadline - deadline) < 100,
    `${harness.pinner.lastDeadline} is not near ${deadline}`,
  );
  await until('the pinner hears of it', () => harness.pinner.cancelled.includes('PublishVolume'));
  // The caller's deadline began earlier, so it may have given up just before.
  await until('it is logged', () => harness.log.some(({ code }) => /^(DEADLINE_EXCEEDED|CANCELLED)$/.test(`${code}`)));
  release();
});
