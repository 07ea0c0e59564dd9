import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Measured } from './measure.ts';
import { PROCESS_NAMES, type ProcessCpu } from './process-cpu.ts';
import { report } from './report.ts';

const RUN = { pods: 10, rounds: 3, cores: 2, version: 'v1' };
const IDLE = Object.fromEntries(PROCESS_NAMES.map((name) => [name, 0])) as ProcessCpu;
const ZERO = { count: 0, seconds: 0 };
const round = (kind: string, startup: number, fields: Partial<Measured> = {}): Measured => ({
  kind,
  startup,
  removal: 3,
  cpuSeconds: 4,
  processes: { ...IDLE, kubelet: 2, pinner: 0.1 },
  mounts: { count: 20, seconds: 1 },
  publishes: ZERO,
  waiting: { count: 9, seconds: 0.5 },
  ...fields,
});
const MEASURED = [
  ...[8, 50, 7].map((seconds) => round('an emptyDir', seconds)),
  ...[10, 9, 40].map((seconds) => round('the bind driver', seconds)),
  ...[12, 13, 14].map((seconds) => round('the bind driver, asking as this one does', seconds)),
  ...[11, 30, 10].map((seconds) => round('two maps', seconds, { publishes: { count: 30, seconds: 0.3 } })),
];

test('times are medians, and compared with the bind driver', () => {
  const text = report(RUN, MEASURED);
  assert.match(text, /\| an emptyDir \| 8 \| 0\.80 × \| 8\.0, 50\.0, 7\.0 \| 3 \|/);
  assert.match(text, /\| the bind driver \| 10 \| 1\.00 × \|/);
  assert.match(text, /\| two maps \| 11 \| 1\.10 × \|/);
});

test('work is that for one pod, and the mean of one', () => {
  const text = report(RUN, MEASURED);
  assert.match(text, /\| two maps \| 2 \| 50 \| 3 \| 10 \| 0\.5 \|/);
  assert.match(text, /\| an emptyDir \| 2 \| 50 \| 0 \| 0 \| 0\.5 \|/);
});

test('CPU time is that for one pod', () => {
  const text = report(RUN, MEASURED);
  assert.match(text, /together \| kubelet \|.*\| pinner \|\n.*\n\| an emptyDir \| 400 \| 200 \|.*\| 10 \|/);
});
