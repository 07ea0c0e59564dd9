import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atMost, countMet, moreThan } from './target.ts';

test('a value that is shown as the target meets it', () => {
  assert.deepEqual(atMost(1.404, 1.4), { target: '≤ 1.4', met: 'yes' });
  assert.deepEqual(atMost(1.405, 1.4), { target: '≤ 1.4', met: 'no' });
  assert.deepEqual(moreThan(1.004, 1), { target: '> 1', met: 'no' });
  assert.deepEqual(moreThan(1.01, 1), { target: '> 1', met: 'yes' });
});

test('what was not measured is not met', () => {
  assert.equal(atMost(Number.NaN, 1).met, 'no');
  assert.equal(moreThan(Number.NaN, 1).met, 'no');
});

test('rows without a target are not counted', () => {
  assert.deepEqual(countMet([{ maps: 1 }, atMost(1, 2), atMost(3, 2)]), { met: 1, all: 2 });
});
