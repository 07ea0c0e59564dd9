import assert from 'node:assert/strict';
import { test } from 'node:test';
import { age, bytes, type Found, format } from './output.ts';

const NOW = Date.parse('2026-01-02T00:00:00Z');

test('ages have one or two units, as in kubectl', () => {
  const seconds = (count: number) => age(new Date(NOW - count * 1000).toISOString(), NOW);
  assert.deepEqual([0, 119, 120, 10_799, 10_800, 12_060, 28_800, 172_799, 172_800].map(seconds), [
    '0s',
    '119s',
    '2m',
    '179m',
    '3h',
    '3h21m',
    '8h',
    '47h',
    '2d',
  ]);
  assert.equal(age(null, NOW), '-');
  // A node's clock may be ahead.
  assert.equal(seconds(-5), '0s');
});

test('bytes have a unit, and a digit behind the point where that says something', () => {
  assert.deepEqual([0, 1023, 1024, 1536, 81_920, 10 * 2 ** 30, 2 ** 60].map(bytes), [
    '0 B',
    '1023 B',
    '1 KiB',
    '1.5 KiB',
    '80 KiB',
    '10 GiB',
    '1048576 TiB',
  ]);
});

const found: Found<{ readonly name: string; readonly size: number }> = {
  items: [
    { name: 'a', size: 1 },
    { name: 'a\nb\u202e', size: 20 },
  ],
  columns: [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'SIZE', wide: true, cell: ({ size }) => size },
  ],
  none: 'nothing',
  unanswered: [{ node: 'n', error: 'late' }],
};

test('a table has aligned columns, and no character of a name steers the terminal', () => {
  assert.equal(format(found, 'table'), 'NAME\na\na\\u{a}b\\u{202e}\n');
  assert.equal(format(found, 'wide'), 'NAME              SIZE\na                 1\na\\u{a}b\\u{202e}   20\n');
  assert.equal(format({ ...found, items: [] }, 'table'), 'nothing\n');
});

test('JSON and YAML have all of it, and the nodes that did not answer', () => {
  const { items, unanswered } = found;
  assert.deepEqual(JSON.parse(format(found, 'json')), { items, unanswered });
  assert.equal(
    format({ ...found, items: items.slice(0, 1) }, 'yaml'),
    'items:\n  - name: a\n    size: 1\nunanswered:\n  - node: n\n    error: late\n',
  );
});
