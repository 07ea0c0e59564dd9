import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status as Code } from '@grpc/grpc-js';
import { startFakePinner } from './fake-pinner.ts';
import { call, type Harness, publishRequest, startHarness, until } from './harness.ts';

const ready = async ({ identity }: Harness) =>
  (await call(identity, identity.probe, {})).response?.ready?.value === true;

test('without a pinner: publish is UNAVAILABLE and says why, Probe and /readyz say no, /healthz says yes', async () => {
  await using harness = await startHarness({}, false);
  const { node, http, pinnerSocket } = harness;
  const outcome = await call(node, node.nodePublishVolume, publishRequest());
  assert.equal(outcome.code, 'UNAVAILABLE');
  assert(outcome.message.startsWith(`pinner at unix://${pinnerSocket} does not answer: `), outcome.message);
  assert.match(outcome.message, /ENOENT/);
  assert.equal(await ready(harness), false);
  const notReady = await fetch(`${http}/readyz`);
  assert.equal(notReady.status, 503);
  assert.match(await notReady.text(), /^pinner at unix:\/\/.* does not answer: /);
  assert.equal((await fetch(`${http}/healthz`)).status, 200);
});

test('Probe becomes true when the pinner comes, false when it goes, true when it is back', async () => {
  await using harness = await startHarness({}, false);
  assert.equal(await ready(harness), false);
  const first = await startFakePinner(harness.pinnerSocket);
  await until('the pinner is seen', () => ready(harness));
  assert.equal((await fetch(`${harness.http}/readyz`)).status, 200);
  await first.stop();
  await until('the pinner is missed', async () => !(await ready(harness)));
  const second = await startFakePinner(harness.pinnerSocket);
  await until('the pinner is seen again', () => ready(harness));
  await second.stop();
});

test('a pinner that goes in the middle of a call makes it UNAVAILABLE', async () => {
  await using harness = await startHarness();
  harness.pinner.hold = new Promise(() => {});
  const outcome = call(harness.node, harness.node.nodePublishVolume, publishRequest());
  await until('the pinner has the call', () => !Number.isNaN(harness.pinner.lastDeadline));
  await harness.pinner.stop();
  assert.equal((await outcome).code, 'UNAVAILABLE');
  assert.match((await outcome).message, /^pinner at unix:\/\/.* does not answer: /);
});

test("the pinner's statuses pass through, code and text unchanged", async () => {
  await using harness = await startHarness();
  const { node, pinner } = harness;
  for (const code of [
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.PERMISSION_DENIED,
    Code.RESOURCE_EXHAUSTED,
    Code.FAILED_PRECONDITION,
    Code.ABORTED,
    Code.INTERNAL,
    Code.UNAVAILABLE,
  ]) {
    const details = `map "flows": move_mount(/a/b): “EBUSY” ${Code[code]}, 100 %`;
    pinner.failWith = { code, details, but: 'DescribeVolume' };
    const published = await call(node, node.nodePublishVolume, publishRequest());
    assert.deepEqual([published.code, published.message], [Code[code], details]);
    const unpublished = await call(node, node.nodeUnpublishVolume, { volumeId: 'a', targetPath: '/a' });
    assert.deepEqual([unpublished.code, unpublished.message], [Code[code], details]);
  }
});

test('a failure is not final as long as the pinner cannot say that no volume is there', async () => {
  await using harness = await startHarness();
  const { node, pinner } = harness;
  for (const code of [Code.INTERNAL, Code.PERMISSION_DENIED, Code.UNKNOWN]) {
    const details = 'bpf_obj_get map "flows": EPERM (Operation not permitted)';
    pinner.failWith = { code, details };
    const { code: answered, message } = await call(node, node.nodePublishVolume, publishRequest());
    assert.deepEqual([answered, message], ['UNAVAILABLE', details]);
  }
});
