import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PersistentVolume } from './binding.ts';
import { problemsOf } from './damaged-volumes.ts';

const DAMAGED = {
  name: 'pvc-1',
  uid: '0a1b2c3d-0000-0000-0000-000000000000',
  damage: 'BpfVolume pvc-1 cannot be used',
};
const BOUND: PersistentVolume = {
  name: 'pvc-1',
  volumeId: 'pvc-1-0a1b2c3d',
  claim: { namespace: 'prod', name: 'loader' },
  claimUid: 'u',
  phase: 'Bound',
};
const CLAIM = 'PersistentVolumeClaim prod/loader u';
const ITSELF = `BpfVolume undefined/pvc-1 ${DAMAGED.uid}`;

const cases: readonly (readonly [string, readonly PersistentVolume[], readonly string[]])[] = [
  ['its claim', [BOUND], [CLAIM]],
  [
    'each claim',
    [BOUND, { ...BOUND, name: 'hand', claim: { namespace: 'test', name: 'l' }, claimUid: 'v' }],
    [CLAIM, 'PersistentVolumeClaim test/l v'],
  ],
  ['itself, without a PersistentVolume', [], [ITSELF]],
  ['itself, if the claim is gone', [{ ...BOUND, phase: 'Released' }], [ITSELF]],
  ['itself, if the claim has no uid', [{ ...BOUND, claimUid: undefined }], [ITSELF]],
  ['itself, if only a namesake is bound', [{ ...BOUND, volumeId: 'pvc-1-ffffffff' }], [ITSELF]],
];
for (const [where, persistentVolumes, expected] of cases) {
  test(`a damaged volume is a problem of ${where}`, () => {
    const problems = problemsOf([DAMAGED], persistentVolumes);
    const seen = problems.map(({ regarding: { kind, namespace, name, uid } }) => `${kind} ${namespace}/${name} ${uid}`);
    assert.deepEqual(seen, expected);
    for (const { reason, note } of problems) assert.deepEqual([reason, note], ['VolumeDamaged', DAMAGED.damage]);
  });
}
