import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largest } from './map-memory.ts';

test('the largest are listed, and the rest is one', () => {
  const all = [3, 5, 1, 2].map((bytes) => ({ namespace: 'n', map: `m${bytes}`, bytes }));
  assert.deepEqual(largest(all, 4), all);
  assert.deepEqual(largest(all, 2), [
    { namespace: 'n', map: 'm5', bytes: 5 },
    { namespace: 'n', map: 'm3', bytes: 3 },
    { namespace: '', map: 'other', bytes: 3 },
  ]);
});
