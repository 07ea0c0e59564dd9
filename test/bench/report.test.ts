import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Measured, report } from './report.ts';
import { SHAPES } from './shape.ts';

const FIGURES = { startMilliseconds: 300, idleMebibytes: 70, mebibytes: 90, cpuMilliseconds: 0.5 };
const MEASURED: Measured = {
  cores: 2,
  publishes: 10_000,
  calls: SHAPES.map(() => ({
    ...{ empty: 1000, publish: 1300, unpublish: 1400, republish: 1100, ninetyNinth: 5000 },
    ...{ publishOfEmpty: 1.31, unpublishOfEmpty: 1.42, republishOfEmpty: 1.13 },
  })),
  present: SHAPES.flatMap(() => [
    { none: 1000, present: 1040, presentOfNone: 1.041 },
    { none: 1000, present: 1060, presentOfNone: 1.062 },
  ]),
  pinner: SHAPES.map(({ callers }) => ({ bare: 100, rpc: 300, rpcOfBare: callers === 32 ? 3.4 : 2.5 })),
  maps: [{ maps: 32, readOnlyPublish: 1, readOnlyUnpublish: 2, writablePublish: 3, writableUnpublish: 4 }],
  processes: { pinner: { ...FIGURES, mebibytes: 8.5 }, nodePlugin: FIGURES },
};

test('each row has its ratio and its target', () => {
  const lines = report(MEASURED).split('\n');
  for (const line of [
    '| ro | 1 | 1,000 | 1,300 | 5,000 | 1.31 | ≤ 1.4 | yes |',
    '| rw | 32 | 1,000 | 1,400 | 1.42 | ≤ 1.3 | no |',
    '| rw | 8 | 1,000 | 1,100 | 1.13 | ≤ 1.15 | yes |',
    '| ro | 8 | publish | 1,000 | 1,040 | 1.04 | ≤ 1.05 | yes |',
    '| ro | 8 | unpublish | 1,000 | 1,060 | 1.06 | ≤ 1.05 | no |',
    '| rw | 8 | 100 | 300 | 2.5 | ≤ 3 | yes |',
    '| rw | 32 | 100 | 300 | 3.4 | ≤ 3 | no |',
    '| 32 | 1 | 3 | 2 | 4 |',
    '| node plugin | 300 | 0.5 | 70 | 90 | ≤ 100 | yes |',
    '| pinner | 300 | 0.5 | 70 | 8.5 | ≤ 8 | no |',
  ]) {
    assert.equal(lines.filter((one) => one === line).length, 1, line);
  }
});

test('the first line tells how many targets are met', () => {
  // 6 of publish and of republish, 6 of publish beside others, 4 of the pinner, 1 of memory.
  assert.match(report(MEASURED), /^Measured on 2 cores, .* Targets met: 23 of 38\.\n/);
});
