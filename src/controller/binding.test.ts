import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Claim } from '../kubernetes/claim.ts';
import type { Binding, Volume } from '../volumes/volume.ts';
import { bindingOf, type PersistentVolume, parsePersistentVolume } from './binding.ts';

const LOADER = { namespace: 'prod', name: 'loader' };
const OTHER = { namespace: 'prod', name: 'other' };
const BOUND: Binding = { phase: 'Bound', claim: LOADER };
const RELEASED: Binding = { phase: 'Released' };

const volume = (binding?: Binding, claim: Claim | undefined = LOADER): Volume => ({
  id: 'pvc-1-0a1b2c3d',
  createdAt: new Date(),
  binding,
  spec: {
    volumeName: 'pvc-1',
    content: { type: 'workspace' },
    userNamespace: false,
    accessModes: ['SINGLE_NODE_WRITER'],
    capacityBytes: 0,
    nodeName: 'node-1',
    claim,
  },
});
const pv = (phase: string, claim?: Claim, name = 'pvc-1'): PersistentVolume => ({
  name,
  volumeId: 'pvc-1-0a1b2c3d',
  claim,
  claimUid: claim && 'u',
  phase,
});

const cases: readonly (readonly [string, Volume, readonly PersistentVolume[], Binding | undefined])[] = [
  ['there is no PersistentVolume yet', volume(), [], undefined],
  ['it is about to be bound', volume(), [pv('Pending', LOADER)], undefined],
  ['it is bound', volume(), [pv('Bound', LOADER)], BOUND],
  ['its claim is gone', volume(BOUND), [pv('Released', LOADER)], RELEASED],
  ['its claim was gone when it was first seen', volume(), [pv('Released', LOADER)], RELEASED],
  ['it is free for another claim', volume(RELEASED), [pv('Available')], RELEASED],
  ['it is bound to another claim', volume(RELEASED), [pv('Bound', OTHER)], { phase: 'Bound', claim: OTHER }],
  ['its PersistentVolume is gone', volume(BOUND), [], RELEASED],
  [
    'a PersistentVolume by hand in its place',
    volume(RELEASED),
    [pv('Bound', OTHER, 'hand')],
    { phase: 'Bound', claim: OTHER },
  ],
  ['a PersistentVolume by hand beside its own', volume(), [pv('Bound', OTHER, 'a'), pv('Bound', LOADER)], BOUND],
  [
    'a PersistentVolume by hand, of another namespace',
    volume(),
    [pv('Bound', { namespace: 'test', name: 'loader' }, 'hand')],
    undefined,
  ],
  [
    'a PersistentVolume by hand, of another namespace, for a volume without a claim',
    { ...volume(), spec: { ...volume().spec, claim: undefined } },
    [pv('Bound', { namespace: 'test', name: 'loader' }, 'hand')],
    { phase: 'Bound', claim: { namespace: 'test', name: 'loader' } },
  ],
];
for (const [what, before, present, expected] of cases) {
  test(`${what}: ${expected?.phase ?? 'unknown'}`, () => {
    assert.deepEqual(bindingOf(before, present), expected);
  });
}

test('only PersistentVolumes of this driver are parsed', () => {
  const metadata = { name: 'pvc-1', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
  const csi = { driver: 'csi.bpffs.dev', volumeHandle: 'h' };
  const parse = (spec: object, rest: object = {}) =>
    parsePersistentVolume({ metadata, spec, ...rest }, 'csi.bpffs.dev');
  const claimRef = { kind: 'PersistentVolumeClaim', uid: 'u', ...LOADER };
  assert.deepEqual(parse({ csi, claimRef }, { status: { phase: 'Bound' } }), {
    name: 'pvc-1',
    volumeId: 'h',
    claim: LOADER,
    claimUid: 'u',
    phase: 'Bound',
  });
  const none = { claim: undefined, claimUid: undefined };
  assert.deepEqual(parse({ csi }), { name: 'pvc-1', volumeId: 'h', ...none, phase: 'Pending' });
  assert.equal(parse({ csi, claimRef: LOADER })?.claimUid, undefined, 'it is not bound yet');
  assert.equal(parse({ csi: { ...csi, driver: 'csi.example.com' } }), undefined);
  assert.equal(parse({ hostPath: { path: '/' } }), undefined);
});
