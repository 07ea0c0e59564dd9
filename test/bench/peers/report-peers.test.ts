import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportPeers } from './report-peers.ts';

test('the slower kind of volume is held against bpfman', () => {
  const markdown = reportPeers([
    { callers: 1, readOnly: 400, writable: 300, bpfman: 200, bind: 900 },
    { callers: 8, readOnly: 300, writable: 900, bpfman: 400, bind: 900 },
  ]);
  assert.match(markdown, /1 of 2 targets are met/);
  assert.match(markdown, /\| 1 \| 400 \| 300 \| 200 \| 900 \| 1.5 \| > 1 \| yes \|/);
  assert.match(markdown, /\| 8 \| 300 \| 900 \| 400 \| 900 \| 0.75 \| > 1 \| no \|/);
});
