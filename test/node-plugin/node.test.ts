import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  NodeServiceCapability_RPC_Type as Capability,
  PluginCapability_Service_Type as Service,
  VolumeUsage_Unit as Unit,
} from '../../src/rpc/csi.ts';
import { version } from '../../src/version.ts';
import { MAP_BYTES } from './fake-pinner.ts';
import { call, type Harness, publishRequest, startHarness } from './harness.ts';

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());

test('publishing twice, and unpublishing twice, is publishing and unpublishing once', async () => {
  const { node, pinner } = harness;
  const request = publishRequest();
  const { volumeId, targetPath } = request;
  for (const _ of ['first', 'again']) assert.equal((await call(node, node.nodePublishVolume, request)).code, 'OK');
  assert.equal(pinner.volumes.size, 1);
  for (const _ of ['first', 'again']) {
    assert.equal((await call(node, node.nodeUnpublishVolume, { volumeId, targetPath })).code, 'OK');
  }
  assert.equal(pinner.volumes.size, 0);
});

test('publishing with other access is ALREADY_EXISTS, after a restart too', async () => {
  const { node } = harness;
  const request = publishRequest((r) => {
    r.volumeId = 'csi-twice';
    r.targetPath = '/var/lib/kubelet/twice';
  });
  assert.equal((await call(node, node.nodePublishVolume, request)).code, 'OK');
  request.volumeContext.maps = 'flows, limits';
  await using restarted = await startHarness({ pinnerEndpoint: harness.pinnerSocket });
  for (const plugin of [node, restarted.node]) {
    const { code, message } = await call(plugin, plugin.nodePublishVolume, request);
    assert.equal(code, 'ALREADY_EXISTS');
    assert.match(message, /^\/var\/lib\/kubelet\/twice was published before with another request/);
  }
});

test('unpublish names the field at fault', async () => {
  const { node } = harness;
  const unpublish = (volumeId: string, targetPath: string) =>
    call(node, node.nodeUnpublishVolume, { volumeId, targetPath });
  assert.equal((await unpublish('', '/a')).message, 'volume_id: required');
  assert.equal((await unpublish('a', '')).message, 'target_path: required');
  const outcome = await unpublish('a', '/a/../b');
  assert.equal(outcome.code, 'INVALID_ARGUMENT');
  assert.match(outcome.message, /^target_path: "\/a\/\.\.\/b" is not an absolute path/);
});

test('the stats of a volume are its maps and their memory', async () => {
  const { node } = harness;
  const volumePath = '/var/lib/kubelet/stats';
  const request = publishRequest((r) => {
    r.volumeId = 'csi-stats';
    r.targetPath = volumePath;
  });
  await call(node, node.nodePublishVolume, request);
  const stats = (volumeId: string, volumePath: string) =>
    call(node, node.nodeGetVolumeStats, { volumeId, volumePath, stagingTargetPath: '' });
  assert.deepEqual((await stats('csi-stats', volumePath)).response?.usage, [
    { unit: Unit.INODES, used: 2, total: 0, available: 0 },
    { unit: Unit.BYTES, used: 2 * MAP_BYTES, total: 0, available: 0 },
  ]);
  assert.equal((await stats('', volumePath)).message, 'volume_id: required');
  assert.equal((await stats('csi-stats', '')).message, 'volume_path: required');
  assert.equal((await stats('csi-stats', '/not/there')).code, 'NOT_FOUND');
  assert.equal((await stats('csi-stats', 'not/there')).code, 'NOT_FOUND');
});

test('alerts for volumes that fill up are silent', async () => {
  const { node } = harness;
  const request = publishRequest((r) => {
    r.volumeId = 'csi-alerts';
    r.targetPath = '/var/lib/kubelet/alerts';
  });
  await call(node, node.nodePublishVolume, request);
  const { volumeId, targetPath: volumePath } = request;
  const { response } = await call(node, node.nodeGetVolumeStats, { volumeId, volumePath, stagingTargetPath: '' });
  const usage = response?.usage ?? [];
  assert.equal(usage.length, 2);
  for (const figures of usage) {
    assert(figures.used > 0);
    assert.equal(fillsUp(figures, 0.03), false);
    assert.equal(fillsUp(figures, 0.15), false);
  }
  // If used bytes were reported against the volume's own size, a full map would raise the alert forever.
  assert.equal(fillsUp({ used: 4096, total: 4096, available: 0 }, 0.03), true);
});

/**
 * KubePersistentVolumeFillingUp on bytes, KubePersistentVolumeInodesFillingUp on inodes: both use only these figures, which the
 * kubelet passes on, with 0 for those that CSI lacks. 0 / 0 is NaN in PromQL as it is here, and below nothing.
 * https://github.com/kubernetes-monitoring/kubernetes-mixin/blob/version-1.4.1/alerts/storage_alerts.libsonnet
 * https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/volume/csi/csi_client.go (nodeGetVolumeStatsV1)
 */
function fillsUp(
  { used, total, available }: { readonly used: number; readonly total: number; readonly available: number },
  threshold: number,
): boolean {
  return available / total < threshold && used > 0;
}

test('says who and what it is', async () => {
  const { identity, node } = harness;
  const info = await call(identity, identity.getPluginInfo, {});
  assert.deepEqual(info.response, { name: 'csi.bpffs.dev', vendorVersion: version, manifest: {} });
  const plugin = await call(identity, identity.getPluginCapabilities, {});
  assert.deepEqual(
    plugin.response?.capabilities.map(({ service }) => service?.type),
    [Service.CONTROLLER_SERVICE, Service.VOLUME_ACCESSIBILITY_CONSTRAINTS],
  );
  const able = await call(node, node.nodeGetCapabilities, {});
  assert.deepEqual(
    able.response?.capabilities.map(({ rpc }) => rpc?.type),
    [
      Capability.STAGE_UNSTAGE_VOLUME,
      Capability.VOLUME_MOUNT_GROUP,
      Capability.GET_VOLUME_STATS,
      Capability.GET_VOLUME_HEALTH,
      Capability.SINGLE_NODE_MULTI_WRITER,
    ],
  );
  const here = await call(node, node.nodeGetInfo, {});
  assert.deepEqual(here.response, {
    nodeId: 'node-1',
    maxVolumesPerNode: 0,
    accessibleTopology: { segments: { 'topology.csi.bpffs.dev/node': 'node-1' } },
  });
});

test('staging is offered, and is nothing', async () => {
  const { node, pinner } = harness;
  const before = [...pinner.volumes.keys()];
  const { volumeCapability } = publishRequest();
  const stage = {
    ...{ volumeId: 'pvc-1-0a1b2c3d', stagingTargetPath: '/staging', volumeCapability },
    ...{ publishContext: {}, secrets: {}, volumeContext: { type: 'workspace' } },
  };
  const { volumeId, stagingTargetPath } = stage;
  assert.equal((await call(node, node.nodeStageVolume, stage)).code, 'OK');
  assert.equal((await call(node, node.nodeUnstageVolume, { volumeId, stagingTargetPath })).code, 'OK');
  assert.deepEqual([...pinner.volumes.keys()], before);
  for (const [outcome, message] of [
    [await call(node, node.nodeStageVolume, { ...stage, volumeId: '' }), 'volume_id: required'],
    [await call(node, node.nodeStageVolume, { ...stage, stagingTargetPath: '' }), 'staging_target_path: required'],
    [await call(node, node.nodeStageVolume, { ...stage, volumeCapability: null }), 'volume_capability: required'],
    [await call(node, node.nodeUnstageVolume, { volumeId: '', stagingTargetPath }), 'volume_id: required'],
    [await call(node, node.nodeUnstageVolume, { volumeId, stagingTargetPath: '' }), 'staging_target_path: required'],
  ] as const) {
    assert.deepEqual([outcome.code, outcome.message], ['INVALID_ARGUMENT', message]);
  }
});
