import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bars } from './bars.ts';

const widths = (svg: string) => Array.from(svg.matchAll(/<rect [^>]*width="(\d+)"/g), ([, width]) => Number(width));

test('bars are as long as their values', () => {
  const rows = [100, 50, 0].map((value) => ({ label: `${value}`, value }));
  assert.deepEqual(widths(bars('title', rows)), [400, 200, 0]);
});

test('nothing but zeros has no length', () => {
  assert.deepEqual(widths(bars('title', [{ label: 'none', value: 0 }])), [0]);
});

test('a label is text', () => {
  assert.match(bars('a "b"', [{ label: '<c> & d', value: 1 }]), /aria-label="a &quot;b&quot;".*&lt;c> &amp; d</s);
});
