import assert from 'node:assert/strict';
import { test } from 'node:test';
import { markdownTable } from './markdown-table.ts';

test('numbers are aligned and rounded, words are not', () => {
  const rows = [
    { what: 'a|b', count: 0.256 },
    { what: 'c', count: 12345.6 },
  ];
  assert.equal(markdownTable(rows), '| what | count |\n|---|--:|\n| a\\|b | 0.26 |\n| c | 12,346 |');
});
