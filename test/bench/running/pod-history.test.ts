import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPodHistory, readPodEvent } from './pod-history.ts';

const DELETION = '2026-01-01T00:00:00Z';
const history = (lines: readonly string[]) => {
  const pods = createPodHistory();
  for (const [at, line] of lines.entries()) pods.note(readPodEvent(line), at);
  return pods;
};

test('from the first creation to the last pod that is Running', () => {
  const pods = history(['ADDED a Pending ', 'ADDED b Pending ', 'MODIFIED b Running ', 'MODIFIED a Running ']);
  assert.deepEqual([pods.running, pods.gone], [2, 0]);
  assert.equal(pods.startup(), 3);
  assert.ok(Number.isNaN(pods.removal()));
});

test('what changes later in a running pod does not count', () => {
  const pods = history([
    'ADDED a Pending ',
    'MODIFIED a Running ',
    'MODIFIED a Running ',
    `MODIFIED a Running ${DELETION}`,
  ]);
  assert.equal(pods.startup(), 1);
});

test('from the first pod that ends to the last that is gone', () => {
  const pods = history([
    'ADDED a Running ',
    'ADDED b Running ',
    `MODIFIED a Running ${DELETION}`,
    `MODIFIED b Running ${DELETION}`,
    `MODIFIED a Succeeded ${DELETION}`,
    `DELETED a Succeeded ${DELETION}`,
    `DELETED b Running ${DELETION}`,
  ]);
  assert.deepEqual([pods.running, pods.gone], [2, 2]);
  assert.equal(pods.removal(), 4);
});

test('a pod that fails ends the measurement', () => {
  assert.throws(() => history(['ADDED a Pending ', 'MODIFIED a Failed ']), /^Error: pod a has Failed$/);
});
