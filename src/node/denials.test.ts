import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDenials } from './denials.ts';
import { toRefusedDelegation } from './refused-delegation.ts';
import type { RefusedMap } from './refused-map.ts';

const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };
const delegation = toRefusedDelegation('a', 'grant', 'ask');
const refused = (bpfMap: string): RefusedMap => ({
  bpfMap,
  verb: 'read',
  reason: 'denied',
  cause: 'grant',
  message: 'ask',
});

test('the least recent are forgotten, and counted', () => {
  const denials = createDenials(2);
  denials.record(pod, [refused('a'), refused('b')]);
  denials.record({ ...pod, podName: 'q' }, [refused('a')]);
  denials.record(pod, [refused('c')]);
  denials.record(pod, [delegation, delegation]);
  const { denials: kept, delegations, denialsLeftOut } = denials.report();
  assert.deepEqual(
    kept.map(({ bpfMap, pod, count }) => [bpfMap, pod, count]),
    [['c', 'p', 1]],
  );
  assert.deepEqual(
    delegations?.map(({ bpfDelegation, verb, count }) => [bpfDelegation, verb, count]),
    [['a', 'use', 2]],
  );
  assert.equal(denialsLeftOut, 2);
});

test('an entry differs by namespace, service account, map, verb and reason', () => {
  const denials = createDenials();
  const map = refused('a');
  for (const one of [map, delegation, { ...map, verb: 'write' as const }, { ...map, cause: 'maxAccess' as const }]) {
    denials.record(pod, [one]);
  }
  for (const one of [
    { ...pod, namespace: 'dev' },
    { ...pod, serviceAccount: 'other' },
  ])
    denials.record(one, [map]);
  assert.deepEqual(
    denials.report().denials.map(({ count }) => count),
    [1, 1, 1, 1, 1],
  );
  assert.deepEqual(
    denials.report().delegations?.map(({ count }) => count),
    [1],
  );
});
