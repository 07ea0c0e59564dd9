import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { VolumeHealthErrorType as Status } from '../../src/rpc/csi.ts';
import { CATALOG, call, GRANTS, type Harness, publishRequest, startHarness, until } from './harness.ts';

let harness: Harness;
before(async () => {
  harness = await startHarness();
  const { code } = await call(harness.node, harness.node.nodePublishVolume, publishRequest());
  assert.equal(code, 'OK');
});
after(() => harness[Symbol.asyncDispose]());

const { volumeId, targetPath } = publishRequest();

async function health(path = targetPath, id = volumeId) {
  const { node } = harness;
  return await call(node, node.nodeGetVolumeHealth, {
    volumeId: id,
    volumePublishPath: path,
    stagingTargetPath: '',
  });
}

async function findings() {
  const { response } = await health();
  assert.equal(response?.volumeHealth?.volumeId, volumeId);
  return response.volumeHealth.healthStatuses.map(({ status, reason, message }) => [status, reason, message]);
}

test('a volume that is as it should be has no entry, with or without its path', async () => {
  assert.deepEqual(await findings(), []);
  assert.deepEqual((await health('')).response?.volumeHealth, { volumeId, healthStatuses: [] });
});

test('a map that was replaced at its source', async () => {
  const { mapIds } = harness.pinner;
  mapIds.atSource.set('flows', 7);
  assert.deepEqual(await findings(), [
    [Status.DEGRADED, 'MapReplaced', '"flows" is map 7 at its source, and 1 in the volume'],
  ]);
  mapIds.atSource.clear();
});

test('generations that running containers do not see: one entry for each reason', async () => {
  harness.pinner.generations = 2;
  harness.pinner.mapIds.atSource.set('flows', 7);
  const [first, ...more] = await findings();
  assert.deepEqual(more, []);
  assert.deepEqual(first?.slice(0, 2), [Status.DEGRADED, 'MapReplaced']);
  assert.match(String(first?.[2]), /^a container without mountPropagation: HostToContainer .*; "flows" is map 7/);
  harness.pinner.generations = 1;
  harness.pinner.mapIds.atSource.clear();
});

test('a source that is gone', async () => {
  const { mapIds } = harness.pinner;
  mapIds.atSource.set('flows', 0);
  assert.deepEqual(await findings(), [[Status.DEGRADED, 'MapSourceMissing', '"flows": nothing is pinned there yet']]);
  mapIds.atSource.clear();
});

test('a pin that is missing', async () => {
  const { mapIds } = harness.pinner;
  mapIds.inVolume.set('flows', 0);
  assert.deepEqual(await findings(), [[Status.INACCESSIBLE, 'PinMissing', '"flows" is not in the volume']]);
  mapIds.inVolume.clear();
});

test('a grant that was withdrawn', async () => {
  writeFileSync(harness.files.grants, GRANTS.replace('resourceNames: [flows, limits,', 'resourceNames: [limits,'));
  await until('it is noticed', async () => (await findings()).length > 0);
  assert.deepEqual(await findings(), [
    [Status.DEGRADED, 'MapAccessRevoked', 'read of "flows" is not granted any more'],
  ]);
  writeFileSync(harness.files.grants, GRANTS);
  await until('it is noticed', async () => (await findings()).length === 0);
});

test('a map that may not be written any more, and one that exists no more', async () => {
  const [flows = '', limits = ''] = CATALOG.split('---\n');
  writeFileSync(harness.files.catalog, limits.replace('maxAccess: ReadWrite', 'maxAccess: ReadOnly'));
  assert.ok(flows.includes('name: flows'));
  await until('it is noticed', async () => (await findings()).length > 0);
  assert.deepEqual(await findings(), [
    [Status.DEGRADED, 'MapDeleted', 'there is no BpfMap "flows" any more'],
    [Status.DEGRADED, 'MapAccessRevoked', '"limits" is ReadOnly for everybody now'],
  ]);
  writeFileSync(harness.files.catalog, CATALOG);
  await until('it is noticed', async () => (await findings()).length === 0);
});

describe('refused', () => {
  const cases = [
    ['no volume id', targetPath, '', 'INVALID_ARGUMENT', /^volume_id: required$/],
    ['another volume at the path', targetPath, 'csi-2', 'NOT_FOUND', /^no volume at /],
    ['nothing at the path', '/not/there', volumeId, 'NOT_FOUND', /^no volume at /],
    ['a path that can be none', 'some/path', volumeId, 'NOT_FOUND', /^no volume can be at "some\/path"$/],
    ['a volume that is nowhere', '', 'csi-2', 'NOT_FOUND', /^volume "csi-2" is not published on this node$/],
  ] as const;
  for (const [what, path, id, code, message] of cases) {
    test(what, async () => {
      const outcome = await health(path, id);
      assert.equal(outcome.code, code);
      assert.match(outcome.message, message);
    });
  }

  test('the pinner is away: no finding, but UNAVAILABLE', async () => {
    await harness.pinner.stop();
    const { code, message } = await health();
    assert.equal(code, 'UNAVAILABLE');
    assert.match(message, /^pinner at /);
  });
});
