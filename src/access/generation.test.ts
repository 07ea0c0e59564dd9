import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGeneration } from './generation.ts';

const OLD_MS = 3_600_000;

/** A generation that is heard and settled, with a clock that only the test moves. */
function listening() {
  let clock = 0;
  const generation = createGeneration(() => clock);
  const beat = (text = '1.a', holder = 'one', ageMs = OLD_MS) => generation.hear({ generation: text, holder, ageMs });
  /** `seconds` pass, with a renewal every ten. */
  const pass = (seconds: number, text?: string, holder?: string) => {
    for (let left = seconds; left > 0; left -= 10) {
      clock += Math.min(left, 10) * 1000;
      beat(text, holder);
    }
  };
  const silence = (seconds: number) => {
    clock += seconds * 1000;
  };
  const ask = async () => (await generation.during(async () => 'answer')).term;
  beat();
  pass(10);
  return { generation, beat, pass, silence, ask };
}

test('an answer is good until the generation changes', async () => {
  const { ask, pass, beat } = listening();
  const term = await ask();
  pass(3600);
  assert.equal(term?.isGood(), true);
  beat('2.b', 'one', 0);
  assert.equal(term?.isGood(), false);
  beat('1.a');
  assert.equal(term?.isGood(), false, 'nor does it come back');
});

test('no answer is good while the controller is silent, and the same are good afterwards', async () => {
  const { generation, ask, silence, beat, pass } = listening();
  const term = await ask();
  silence(30);
  assert.equal(term?.isGood(), true);
  silence(1);
  assert.equal(term?.isGood(), false);
  assert.equal(generation.isHeard(), false);
  silence(600);
  beat();
  assert.equal(term?.isGood(), false, 'the first renewal after a silence may be an old one');
  pass(10);
  assert.equal(term?.isGood(), true);
});

test('a Lease that is there from before is not heard', () => {
  let clock = 0;
  const generation = createGeneration(() => clock);
  assert.equal(generation.isHeard(), false);
  const beat = { generation: '1.a', holder: 'one', ageMs: OLD_MS };
  generation.hear(beat);
  assert.equal(generation.isHeard(), false);
  clock = 10_000;
  generation.hear(beat);
  assert.equal(generation.isHeard(), true);
  generation.hear(undefined);
  assert.equal(generation.isHeard(), false, 'nor one that was deleted');
});

test('an answer that was asked for before a change, and comes after it, is tied to nothing', async () => {
  const { generation, beat, pass } = listening();
  const { term } = await generation.during(async () => beat('2.b'));
  assert.equal(term, undefined);
  pass(3600, '2.b');
  const twice = await generation.during(async () => {
    beat('3.c');
    beat('2.b');
  });
  assert.equal(twice.term, undefined);
});

test('for a minute after a change, the API server may still answer as before it', async () => {
  const { ask, beat, pass } = listening();
  beat('2.b', 'one', 0);
  pass(50, '2.b');
  assert.equal(await ask(), undefined);
  pass(10, '2.b');
  assert.equal((await ask())?.isGood(), true);
});

test('a new process of the controller keeps old answers, and not those that it may have missed a change for', async () => {
  const { ask, pass, silence } = listening();
  const old = await ask();
  pass(10);
  const nearlyLast = await ask();
  pass(10);
  const last = await ask();
  silence(15);
  const between = await ask();
  pass(20, '1.a', 'two');
  const later = await ask();
  assert.deepEqual(
    [old, nearlyLast, last, between, later].map((term) => term?.isGood()),
    [true, false, false, false, true],
  );
});

test('a process that gives up the Lease ends nothing', async () => {
  const { generation, ask, pass, silence } = listening();
  const old = await ask();
  pass(20);
  generation.hear({ generation: '1.a', holder: '', ageMs: OLD_MS });
  assert.equal(old?.isGood(), true);
  silence(5);
  pass(10, '1.a', 'two');
  assert.equal(old?.isGood(), true);
});
