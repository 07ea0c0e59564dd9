import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBpfMap } from './cluster-bpf-map.ts';

const object = (spec: object) => ({
  apiVersion: 'bpffs.dev/v1alpha1',
  kind: 'BpfMap',
  metadata: { name: 'flows', uid: '0123-4567', resourceVersion: '1', creationTimestamp: '2030-01-01T00:00:00Z' },
  spec,
});

test('a BpfMap has the uid of its object, even if it is invalid', () => {
  const good = parseBpfMap(object({ source: { pinned: { path: '/sys/fs/bpf/flows' } } }));
  assert.deepEqual([good.uid, good.source.kind], ['0123-4567', 'node']);
  const bad = parseBpfMap(object({ source: { future: {} } }));
  assert.deepEqual([bad.uid, bad.source.kind], ['0123-4567', 'unusable']);
});
