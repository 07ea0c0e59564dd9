import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkColumns, createCheckup } from './doctor.ts';
import { versionCheck } from './rollout.ts';

test('equal results of nodes are one, failures first and the most frequent before others', () => {
  const checkup = createCheckup();
  const ok = { state: 'ok', what: 'kernel', found: 'Linux 6.18' } as const;
  const old = { state: 'fail', what: 'kernel', found: 'too old' } as const;
  const odd = { state: 'warn', what: 'seccomp', found: 'not installed' } as const;
  checkup.add({ node: 'a', checks: [ok] });
  checkup.add({ node: 'b', checks: [ok, odd] });
  checkup.add({ node: 'c', checks: [old] });
  assert.deepEqual(checkup.results(), [
    { ...old, nodes: ['c'] },
    { ...odd, nodes: ['b'] },
    { ...ok, nodes: ['a', 'b'] },
  ]);
});

test('a table names three nodes at most', () => {
  const column = checkColumns(5).find(({ title }) => title === 'NODES') ?? assert.fail();
  const nodes = (count: number) =>
    column.cell({ state: 'ok', what: '', found: '', nodes: ['a', 'b', 'c', 'd', 'e'].slice(0, count) });
  assert.deepEqual([1, 3, 4, 5].map(nodes), ['a', 'a, b, c', 'a, b, c and 1 more', 'all 5']);
});

test('different versions are told', () => {
  const pinner = { version: '2', kernelRelease: '', volumes: 0 } as never;
  assert.equal(versionCheck([{ version: '1', pinner: null }]).state, 'ok');
  assert.deepEqual(
    versionCheck([
      { version: '1', pinner },
      { version: '2', pinner },
    ]),
    {
      state: 'warn',
      what: 'version',
      found: '1, 2: an update is under way, or some pods do not get it',
    },
  );
});
