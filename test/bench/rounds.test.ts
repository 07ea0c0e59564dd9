import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inTurn, median, medianOfRounds } from './rounds.ts';

test('a noisy round does not move the median', async () => {
  const rounds = [
    [{ a: 10, b: 1 }, { a: 20 }],
    [{ a: 900, b: 2 }, { a: 900 }],
    [{ a: 12, b: 3 }, { a: 22 }],
  ];
  let taken = 0;
  const round = async (): Promise<readonly Record<string, number>[]> => rounds[taken++] ?? [];
  assert.deepEqual(await medianOfRounds(3, round), [{ a: 12, b: 2 }, { a: 22 }]);
  assert.equal(taken, 3);
});

test('what is measured in turn does not overlap', async () => {
  const seen: string[] = [];
  const measure = async (item: string) => {
    seen.push(`${item} begins`);
    await new Promise(setImmediate);
    seen.push(`${item} ends`);
    return item.length;
  };
  assert.deepEqual(await inTurn(['a', 'bb'], measure), [1, 2]);
  assert.deepEqual(seen, ['a begins', 'a ends', 'bb begins', 'bb ends']);
});

for (const [values, middle] of [
  [[100, 1, 20], 20],
  [[4, 1, 3, 2], 2.5],
  [[7], 7],
] as const) {
  test(`the median of ${values} is ${middle}`, () => assert.equal(median(values), middle));
}
