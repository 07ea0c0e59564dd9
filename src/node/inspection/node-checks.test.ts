import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failedPrecondition, unavailable } from '../../errors.ts';
import type { PolicyState } from '../policy.ts';
import type { InspectionParts } from './inspection-parts.ts';
import { nodeChecks } from './node-checks.ts';

/** The checks that are about the cluster, as "state what: found". */
async function checksOf(state: Partial<PolicyState>, requireReady: () => void = () => {}): Promise<readonly string[]> {
  const watches = [{ resource: 'bpfmaps', staleness: () => 7.4, failure: () => undefined }];
  const whole: PolicyState = { catalog: { maps: 0, invalid: 0 }, watches, csiDriver: undefined, ...state };
  const parts = { opened: { state: () => whole, requireReady } } as unknown as InspectionParts;
  const checks = await nodeChecks(parts, unavailable('away'));
  const about = /^(CSIDriver|API server|watch of)/;
  return checks.filter(({ what }) => about.test(what)).map(({ state, what, found }) => `${state} ${what}: ${found}`);
}

test('all is well', async () => {
  assert.deepEqual(await checksOf({ csiDriver: { stopping: [], other: [] } }), [
    'ok CSIDriver: is as the chart has it',
    'ok API server: what decides about volumes is known',
    'ok watch of bpfmaps: works',
  ]);
});

test('what stops the driver is told once, of the CSIDriver object', async () => {
  const checks = await checksOf({ csiDriver: { stopping: ['set this'], other: ['and that'] }, watches: [] }, () => {
    throw failedPrecondition('set this');
  });
  assert.deepEqual(checks, ['fail CSIDriver: set this', 'warn CSIDriver: and that']);
});

test('a watch that fails says why, and what cannot be decided without it', async () => {
  const lacks = unavailable('the driver may not list bpfmaps.bpffs.dev: its ClusterRole lacks {apiGroups: …}');
  const watches = [
    { resource: 'bpfmaps', staleness: () => Number.POSITIVE_INFINITY, failure: () => lacks },
    { resource: 'bpfvolumes', staleness: () => 90, failure: () => lacks },
    { resource: 'csidrivers', staleness: () => Number.POSITIVE_INFINITY, failure: () => undefined },
  ];
  const checks = await checksOf({ watches }, () => {
    throw unavailable('nothing is known of bpfmaps yet');
  });
  assert.deepEqual(checks, [
    'fail API server: nothing is known of bpfmaps yet; no pod gets a volume until this is known',
    `warn watch of bpfmaps: never heard of: ${lacks.message}; it is tried again until this is mended`,
    `warn watch of bpfvolumes: heard of 90 s ago: ${lacks.message}; it is tried again until this is mended`,
    'warn watch of csidrivers: never heard of yet: wait until the API server has answered',
  ]);
});
