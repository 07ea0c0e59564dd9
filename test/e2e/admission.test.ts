import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { useNoAdmission } from './admission.ts';
import { account, mapRole, roleBinding, serviceAccount } from './objects.ts';
import { inline, type PodOptions, pod } from './pods.ts';
import { useSpace } from './space.ts';

/** Volumes that nobody can publish, whatever is granted, and the message of both the policy and the driver. */
const FAULTS: readonly (readonly [what: string, options: PodOptions, says: RegExp])[] = [
  ['no-maps', { volume: inline({}) }, /volumeAttributes\.maps: names no map/],
  ['no-map', { volume: inline({ maps: 'Flows!' }) }, /volumeAttributes\.maps: .*Flows!/],
  ['twice', { volume: inline({ maps: 'flows, flows:rw' }) }, /volumeAttributes\.maps: "flows" is named twice/],
  ['unknown', { volume: inline({ maps: 'flows', map: 'flows' }) }, /volumeAttributes\.map: unknown attribute/],
  ['type', { volume: inline({ type: 'workspace' }) }, /volumeAttributes\.type.* takes a PersistentVolumeClaim/],
  ['contradiction', { volume: inline({ maps: 'flows:rw' }, { readOnly: true }) }, /readOnly: .*"flows:rw"/],
];

suite('at kubectl apply', () => {
  const space = useSpace();

  // kubectl shows only one of several refusals, so grants must not be missing.
  before(() =>
    space.apply(
      serviceAccount('granted'),
      mapRole(`${space.name}-all`, { read: 'all', write: 'all' }),
      roleBinding('granted', `${space.name}-all`, account(space.name, 'granted')),
    ),
  );
  const granted: typeof pod = (name, options) => pod(name, { serviceAccount: 'granted', ...options });

  for (const [name, options, says] of FAULTS) {
    test(`${name}: refused`, () => assert.rejects(space.apply(granted(name, options)), says));
  }

  test('users of its own, wrongly told: refused', () =>
    assert.rejects(
      space.apply(
        granted('users', { volume: inline({ maps: 'flows', hostUsers: 'true' }), spec: { hostUsers: false } }),
      ),
      /volumeAttributes\.hostUsers .*"false"/,
    ));

  test('no grant: refused', () =>
    assert.rejects(
      space.apply(pod('no-grant', { volume: inline({ maps: 'flows' }) })),
      /:default may not read map "flows" \(no grant, or no such map: look with kubectl get bpfmaps, or ask a cluster administrator; if it is there, kubectl create role read-flows /,
    ));
});

suite('without the policies', () => {
  useNoAdmission();
  const space = useSpace();

  for (const [name, options, says] of FAULTS) {
    test(`${name}: the pod waits, and its events say the same`, async () => {
      await space.apply(pod(name, options));
      assert.match(await space.described(`pod/${name}`, /FailedMount .*InvalidArgument/), says);
    });
  }
});
