import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cost, Measured } from './measure.ts';
import { report } from './report.ts';

const NONE = { lists: 0, watches: 0, SubjectAccessReviews: 0, TokenReviews: 0, Events: 0, renewals: 0 };
const cost = (requests: Partial<Cost['requests']>, seconds = 30): Cost => ({
  seconds,
  requests: { ...NONE, ...requests },
  cpuSeconds: 3,
});
const RUN = { cores: 2, version: 'v1', firstSeconds: 10, steadySeconds: 30 };
const MEASURED: Measured = {
  nodes: 10,
  start: cost({ lists: 40, watches: 40 }),
  firstLooks: cost({ SubjectAccessReviews: 400, TokenReviews: 200 }),
  steady: cost({ SubjectAccessReviews: 5, renewals: 3 }),
  mebibytes: 500,
  withdrawal: { cost: cost({ SubjectAccessReviews: 400, Events: 10 }), known: [1, 2, 30] },
  failures: 4,
};

test('requests at start are those of a node', () => {
  const { markdown } = report(RUN, [MEASURED], []);
  assert.match(markdown, /\| 10 \| 4 \| 4 \| 0 \| 0 \| 0 \| 8 \| 30 \| 3 \|/);
  assert.match(markdown, /\| 10 \| 0 \| 0 \| 40 \| 20 \| 0 \| 60 \| 30 \| 3 \|/);
});

test('those after it are of a node and a minute, without the renewals of the controller', () => {
  assert.match(report(RUN, [MEASURED], []).markdown, /\| 10 \| 0 \| 0 \| 1 \| 0 \| 0 \| 1 \| 6 \|/);
});

test('failures and a withdrawal are told', () => {
  const { markdown } = report(RUN, [{ ...MEASURED, nodes: 1, withdrawal: undefined }, MEASURED], []);
  assert.match(markdown, /8 of the looks at pods failed/);
  assert.match(markdown, /p50.*\n.*\n\| 10 \| 2 \| 30 \| 0 \| 0 \| 40 \| 0 \| 1 \| 41 \|/);
});
