import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unavailable } from '../errors.ts';
import { tellOutages } from './pinner-outage.ts';

/** A pinner that answers, or does not, and a clock that is set; `ask` is what the kubelet's probe does. */
function startPinner() {
  const state = { answers: true, seconds: 0 };
  const told: string[] = [];
  const getNode = tellOutages(
    {
      async getNode() {
        if (!state.answers) throw unavailable('pinner at unix:///p.sock does not answer: connect ECONNREFUSED');
        return {
          kernelRelease: '6.12.0',
          version: '1.0.0',
          features: [],
          droppedLogLines: 0,
          pinRoots: [],
          kubeletDir: '/var/lib/kubelet',
        };
      },
    },
    { record: (reason, note) => void told.push(`${reason}: ${note}`) },
    () => state.seconds * 1000,
  );
  const ask = async (seconds: number, answers: boolean, signal = new AbortController().signal) => {
    Object.assign(state, { seconds, answers });
    await getNode({ deadline: Date.now() + 1000, signal }).then(
      () => assert(answers),
      (error) => assert.match(error.message, /does not answer/),
    );
  };
  return { told, ask };
}

test('a pinner that does not answer for half a minute is told of once, and so is its return', async () => {
  const { told, ask } = startPinner();
  for (let second = 0; second < 30; second += 5) await ask(second, false);
  assert.deepEqual(told, []);
  for (let second = 30; second < 300; second += 5) await ask(second, false);
  assert.equal(told.length, 1);
  assert.match(
    told[0] ?? '',
    /^BpfPinnerDown: .* for 30 s: pinner at .* does not answer: connect ECONNREFUSED\. Until/,
  );
  await ask(300, true);
  await ask(305, true);
  assert.deepEqual(told.slice(1), ['BpfPinnerUp: The container "pinner" answers again.']);
  for (const second of [310, 340]) await ask(second, false);
  await ask(345, true);
  assert.equal(told.length, 4);
});

test('short outages are not told, however many there are', async () => {
  const { told, ask } = startPinner();
  for (let second = 0; second < 600; second += 5) await ask(second, second % 30 === 0);
  assert.deepEqual(told, []);
});

test('a caller that gives up is no outage', async () => {
  const { told, ask } = startPinner();
  for (let second = 0; second < 300; second += 5) await ask(second, false, AbortSignal.abort());
  assert.deepEqual(told, []);
});
