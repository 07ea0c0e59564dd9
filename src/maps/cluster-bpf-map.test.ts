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

test('an invalid one says which field, what it is and what is allowed', () => {
  const created = { type: 'hash', keySize: 4, valueSize: 4, maxEntries: 3 };
  const cases: readonly (readonly [spec: object, problem: string])[] = [
    [{ source: { loaded: {} } }, 'spec.source.loaded.map: required'],
    [
      { source: { created: { ...created, keySize: '4' } } },
      'spec.source.created.keySize: must be a number, is a string',
    ],
    [
      { source: { created: { ...created, maxEntries: null } } },
      'spec.source.created.maxEntries: must be a number, is null',
    ],
    [{ source: { created: { ...created, seed: 1 } } }, 'spec.source.created.seed: unknown key'],
    [
      { source: { created: { ...created, keySize: 0 } } },
      'spec.source.created.keySize: keySize must be 1 to 4194254 for type hash, is 0',
    ],
    [{ source: { pinned: { path: '/a' } }, maxAccess: 'W' }, 'spec.maxAccess: "W" is none of ReadOnly, ReadWrite'],
    [{ source: [] }, 'spec.source: must be an object, is a list'],
  ];
  for (const [spec, problem] of cases) {
    const { source } = parseBpfMap(object(spec));
    assert.deepEqual(source, { kind: 'unusable', problem: `BpfMap "flows" cannot be used: ${problem}` });
  }
});
