import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unavailable } from '../errors.ts';
import { type KeptVolumesParts, startReleasing } from './release-volumes.ts';

/** A node that keeps volumes a and b, both of which cannot be looked up. */
function startReleasingNothing() {
  const state = { asked: 0, error: 'the API server does not answer' };
  const warnings: string[] = [];
  const parts: KeptVolumesParts = {
    volumes: {
      async get(id) {
        state.asked += 1;
        throw unavailable(`${id}: ${state.error}`);
      },
    },
    pinner: {
      listKeptVolumes: async () => ({ volumeIds: ['a', 'b'] }),
      releaseVolume: async () => assert.fail('released a volume that may live'),
    },
    log: { info: assert.fail, warn: (fields: { readonly error: string }) => void warnings.push(fields.error) },
  };
  return { state, warnings, ...startReleasing(parts, 1) };
}

const tick = () => new Promise((resolve) => setTimeout(resolve, 1));

test('a volume that cannot be released is logged once, and again when the reason changes', async () => {
  const { state, warnings, stop } = startReleasingNothing();
  while (state.asked < 5) await tick();
  state.error = 'damaged';
  while (state.asked < 10) await tick();
  stop();
  const why = 'the API server does not answer';
  assert.deepEqual(warnings.toSorted(), ['a: damaged', `a: ${why}`, 'b: damaged', `b: ${why}`]);
});

test('does nothing more once stopped', async () => {
  const { state, stop } = startReleasingNothing();
  while (state.asked < 2) await tick();
  stop();
  const { asked } = state;
  for (let wait = 0; wait < 20; wait++) await tick();
  assert.ok(state.asked <= asked + 1);
});
