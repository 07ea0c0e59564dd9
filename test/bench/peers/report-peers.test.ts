import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportPeers } from './report-peers.ts';

test('both kinds of volumes have to be faster than bpfman', () => {
  const rates = { readOnly: 400, writable: 300, bpfman: 200, bind: 900 };
  const markdown = reportPeers([
    { ...rates, callers: 1, readOnlyOfBpfman: 2.1, writableOfBpfman: 1.6 },
    { ...rates, callers: 8, readOnlyOfBpfman: 1.2, writableOfBpfman: 0.8 },
    { ...rates, callers: 32, readOnlyOfBpfman: 0.9, writableOfBpfman: 1.2 },
  ]);
  assert.match(markdown, /Targets met: 1 of 3/);
  assert.match(markdown, /\| 1 \| 400 \| 300 \| 200 \| 900 \| 2.1 \| 1.6 \| > 1 \| yes \|/);
  assert.match(markdown, /\| 8 \| 400 \| 300 \| 200 \| 900 \| 1.2 \| 0.8 \| > 1 \| no \|/);
  assert.match(markdown, /\| 32 \| .* \| > 1 \| no \|/);
});
