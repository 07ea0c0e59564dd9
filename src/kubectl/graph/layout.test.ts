import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { large } from '../../../test/graph/demo.ts';
import { EVERYTHING } from './browser/choice.ts';
import { layoutOf } from './browser/layout.ts';
import { spread } from './browser/spread.ts';
import { viewOf } from './browser/view.ts';
import { toGraph } from './model.ts';

const TOTAL = 1000;
const wishes = fc.array(
  fc.record({ height: fc.integer({ min: 1, max: 40 }), middle: fc.integer({ min: -100, max: 1100 }) }),
  { maxLength: 20 },
);

test('things are spread in their order, without overlap, inside', () => {
  fc.assert(
    fc.property(wishes, (all) => {
      const ends = spread(all, 10, TOTAL).map((top, index) => ({ top, end: top + (all[index]?.height ?? 0) }));
      for (const [index, { top, end }] of ends.entries()) {
        assert.ok(top >= -1e-6 && end <= TOTAL + 1e-6);
        assert.ok(index === 0 || top >= (ends[index - 1]?.end ?? 0) + 10 - 1e-6);
      }
    }),
  );
});

test('what is in nobody’s way gets its wish, and two that want the same share it', () => {
  const at = (middle: number) => ({ height: 20, middle });
  assert.deepEqual(spread([at(100), at(300)], 10, TOTAL), [90, 290]);
  assert.deepEqual(spread([at(100), at(100)], 10, TOTAL), [75, 105]);
});

test('many service accounts are one box for each namespace, until it is opened', () => {
  const graph = toGraph(large());
  const names = (open: readonly string[]) =>
    viewOf(graph, { ...EVERYTHING, open: new Set(open) })
      .columns[2]?.map(({ name }) => name)
      .sort() ?? [];
  assert.equal(names([]).length, 20);
  const opened = names(['namespace team-3']);
  assert.equal(opened.filter((name) => name.startsWith('service-')).length, 10);
  assert.ok(!opened.includes('team-3'));
});

test('edges dock at their boxes, wider with more pods', () => {
  const view = viewOf(toGraph(large()), { ...EVERYTHING, groups: 'open' });
  const { places, curves } = layoutOf(view, 1000);
  for (const [{ from, to }, { x1, y1, x2, y2, width }] of curves) {
    const [left, right] = [places.get(from), places.get(to)];
    assert.ok(left && right);
    assert.equal(x1, left.x + left.width);
    assert.equal(x2, right.x);
    for (const [place, y] of [
      [left, y1],
      [right, y2],
    ] as const)
      assert.ok(y - width / 2 >= place.y - 1e-6 && y + width / 2 <= place.y + place.height + 1e-6);
  }
  const widths = [...curves].sort(([a], [b]) => a.pods - b.pods).map(([, { width }]) => width);
  assert.ok((widths.at(-1) ?? 0) > (widths[0] ?? 0));
});
