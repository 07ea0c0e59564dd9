import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import { type Answer, type AnswerCacheOptions, createAnswerCache } from './answer-cache.ts';

const waiting = new AbortController().signal;
const good = (value: string, ms = 60_000): Answer<string> => ({ value, goodForMs: ms });
const make = (maxAnswers: number, options: Partial<AnswerCacheOptions> = {}) =>
  createAnswerCache<string>({ maxAnswers, awaited: 'the oracle', ...options });

test('an answer is cached until it expires', async (t) => {
  // Setting the wall clock makes no answer older or younger.
  t.mock.timers.enable({ apis: ['Date'], now: 3_600_000 });
  let now = 1000;
  const ages: (number | undefined)[] = [];
  const cache = make(10, { lookedUp: (age) => ages.push(age), now: () => now });
  const ask = (value: string) => cache.get('a', async () => good(value, 500), waiting);
  assert.equal(await ask('1'), '1');
  t.mock.timers.setTime(7_200_000);
  now = 1499;
  assert.equal(await ask('2'), '1');
  t.mock.timers.setTime(0);
  now = 1501;
  assert.equal(await ask('3'), '3');
  assert.deepEqual(ages, [undefined, 0.499, undefined]);
});

test('expired answers and errors are not cached', async () => {
  const cache = make(10);
  await cache.get('a', async () => good('1', 0), waiting);
  await assert.rejects(
    cache.get('a', () => Promise.reject(new Error('no')), waiting),
    /no/,
  );
  assert.equal(await cache.get('a', async () => good('2'), waiting), '2');
});

test('a question that throws at once is asked again', async () => {
  const cache = make(10);
  const ask = () => {
    throw new Error('no');
  };
  await assert.rejects(cache.get('a', ask, waiting), /^Error: no$/);
  assert.equal(await cache.get('a', async () => good('2'), waiting), '2');
});

test('the error of an aborted caller says what it waited for', async () => {
  const late = new AbortController();
  const answer = make(10).get('a', () => new Promise(() => {}), late.signal);
  late.abort(new CallError(Code.DEADLINE_EXCEEDED, 'the deadline passed'));
  await assert.rejects(answer, {
    code: Code.DEADLINE_EXCEEDED,
    message: 'the deadline passed while waiting for the oracle',
  });
});

test('the least recently used answer is dropped', async () => {
  const cache = make(2);
  const ask = (key: string, value: string) => cache.get(key, async () => good(value), waiting);
  await ask('a', '1');
  await ask('b', '1');
  await ask('a', '2');
  await ask('c', '1');
  assert.equal(await ask('a', '3'), '1');
  assert.equal(await ask('b', '3'), '3');
});

test('concurrent equal questions are asked once, and a caller that aborts does not disturb the others', async () => {
  const cache = make(10);
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
