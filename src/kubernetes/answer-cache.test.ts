import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, createAnswerCache } from './answer-cache.ts';

const waiting = new AbortController().signal;
const good = (value: string, ms = 60_000): Answer<string> => ({ value, expiresAt: Date.now() + ms });

test('an answer is kept until it expires', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1000 });
  const ages: (number | undefined)[] = [];
  const cache = createAnswerCache<string>(10, (age) => ages.push(age));
  const ask = (value: string) => cache.get('a', async () => good(value, 500), waiting);
  assert.equal(await ask('1'), '1');
  t.mock.timers.setTime(1499);
  assert.equal(await ask('2'), '1');
  t.mock.timers.setTime(1500);
  assert.equal(await ask('3'), '3');
  assert.deepEqual(ages, [undefined, 0.499, undefined]);
});

test('what is expired already, and what fails, is not kept', async () => {
  const cache = createAnswerCache<string>(10);
  await cache.get('a', async () => good('1', 0), waiting);
  await assert.rejects(
    cache.get('a', () => Promise.reject(new Error('no')), waiting),
    /no/,
  );
  assert.equal(await cache.get('a', async () => good('2'), waiting), '2');
});

test('the one that was not used for longest makes room', async () => {
  const cache = createAnswerCache<string>(2);
  const ask = (key: string, value: string) => cache.get(key, async () => good(value), waiting);
  await ask('a', '1');
  await ask('b', '1');
  await ask('a', '2');
  await ask('c', '1');
  assert.equal(await ask('a', '3'), '1');
  assert.equal(await ask('b', '3'), '3');
});

test('equal questions at the same time are one, and who gives up takes nobody along', async () => {
  const cache = createAnswerCache<string>(10);
  const answer = Promise.withResolvers<Answer<string>>();
  let asked = 0;
  const ask = () => {
    asked += 1;
    return answer.promise;
  };
  const impatient = new AbortController();
  const first = cache.get('a', ask, impatient.signal);
  const second = cache.get('a', ask, waiting);
  impatient.abort(new Error('gave up'));
  await assert.rejects(first, /gave up/);
  answer.resolve(good('1'));
  assert.equal(await second, '1');
  assert.equal(asked, 1);
  await assert.rejects(cache.get('a', ask, impatient.signal), /gave up/);
});
