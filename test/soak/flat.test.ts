import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growth, slope } from './flat.ts';

test('a slope is that of the line through the points', () => {
  assert.equal(
    slope([
      [0, 5],
      [10, 25],
      [20, 45],
    ]),
    2,
  );
  assert.equal(slope([[3, 4]]), 0);
});

test('what only fills at first does not grow, and what leaks does', () => {
  assert.equal(growth([1, 5, 9, 10, 10, 10, 10, 10, 10]), 1);
  assert.equal(growth([10, 20, 30, 40, 50, 60, 70, 80, 90]), 70 / 40);
});

test('freed memory that the allocator still holds is no growth', () => {
  assert.equal(growth([10, 12, 14, 10, 12, 14, 16, 10, 18]), 1);
  assert.equal(growth([10, 12, 14, 12, 14, 16, 14, 16, 18]), 14 / 12);
});
