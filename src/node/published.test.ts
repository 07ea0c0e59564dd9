import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PublishVolumeResponse_Outcome as Outcomes } from '../rpc/pinner.ts';
import type { PublishRequest } from './publish-request.ts';
import { createPublished } from './published.ts';

const request = (targetPath: string) => ({ type: 'workspace', volumeId: 'v', targetPath }) as PublishRequest;
const created = { outcome: Outcomes.CREATED, maps: new Map(), refused: [] };
const volume = 'pods/0d6c/volumes/kubernetes.io~csi/maps/mount';

test("a target is found through a symbolic link to the kubelet's directory", () => {
  const published = createPublished();
  const there = request(`/var/lib/kubelet/${volume}`);
  published.add(there, created);
  assert.equal(published.at(`/mnt/data/kubelet/${volume}`)?.request, there);
  assert.equal(published.at(`/mnt/data/kubelet/${volume.replace('maps', 'more')}`), undefined);
  published.remove(`/mnt/data/kubelet/${volume}`);
  assert.equal(published.at(`/var/lib/kubelet/${volume}`), undefined);
});

test("a target outside of a kubelet's directory is found by its exact path", () => {
  const published = createPublished();
  published.add(request('/tmp/csi/mount'), created);
  assert.equal(published.at('/tmp/csi/mount')?.request.targetPath, '/tmp/csi/mount');
  assert.equal(published.at('/var/csi/mount'), undefined);
});

test('a volume is known since it was made, if that was after the start, and with its last refusals', () => {
  const published = createPublished();
  const volume = request('/tmp/csi/mount');
  const refusal = { bpfMap: 'm', verb: 'read', reason: 'absent', cause: 'absent', message: 'ask' } as const;
  const unchanged = { ...created, outcome: Outcomes.UNCHANGED, refused: Array.from({ length: 20 }, () => refusal) };
  const at = () => published.at('/tmp/csi/mount');
  published.add(volume, unchanged);
  assert.deepEqual([at()?.since, at()?.refused.length, at()?.refusedLeftOut], [undefined, 16, 4]);
  published.add(volume, created);
  const since = at()?.since;
  assert(since instanceof Date);
  assert.deepEqual([at()?.refused, at()?.refusedLeftOut], [[], 0]);
  published.add(volume, unchanged);
  assert.equal(at()?.since, since);
  published.add({ ...volume, volumeId: 'other' }, unchanged);
  assert.equal(at()?.since, undefined);
});
