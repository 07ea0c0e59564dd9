import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, unavailable } from '../errors.ts';
import { ApiError } from '../kubernetes/api-error.ts';
import { askNodes } from './ask-nodes.ts';

const PODS = Array.from({ length: 200 }, (_, index) => ({ node: `node-${index}`, namespace: 'n', name: `p${index}` }));
const timeoutMs = 60_000;
const forbidden = new ApiError(Code.UNAVAILABLE, 'you may not', 403, 'Forbidden');

test('all nodes are asked, at most 64 at a time', async () => {
  const asked = new Set<string>();
  const shown: number[] = [];
  let running = 0;
  let most = 0;
  const ask = async ({ node }: { node: string }) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    asked.add(node);
  };
  assert.deepEqual(await askNodes(PODS, ask, { timeoutMs, progress: (count) => shown.push(count) }), []);
  assert.equal(asked.size, 200);
  assert.equal(most, 64);
  assert.deepEqual(
    shown,
    PODS.map((_, index) => index + 1),
  );
});

test('the nodes that did not answer are named in their order, whatever went wrong', async () => {
  const ask = async ({ node }: { node: string }) => {
    if (node === 'node-7') throw unavailable('it is gone');
    if (node === 'node-3') throw new TypeError('a bug');
    if (node === 'node-5') throw forbidden;
  };
  assert.deepEqual(await askNodes(PODS, ask, { timeoutMs }), [
    { node: 'node-3', error: 'unexpected: a bug' },
    { node: 'node-5', error: 'you may not' },
    { node: 'node-7', error: 'it is gone' },
  ]);
});

test('where no node may be asked, that is an error', async () => {
  const refuse = async () => {
    throw forbidden;
  };
  await assert.rejects(askNodes(PODS, refuse, { timeoutMs }), forbidden);
});

test('a node that does not answer in time is given up', async () => {
  const wait = (_: object, signal: AbortSignal) =>
    new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const [first] = await askNodes(PODS.slice(0, 1), wait, { timeoutMs: 1 });
  assert.deepEqual(first, { node: 'node-0', error: 'it did not answer within 0.001 s' });
});
