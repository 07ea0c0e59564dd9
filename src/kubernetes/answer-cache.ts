import { LRUCache } from 'lru-cache';
import { whileWaiting } from '../errors.ts';
import { orAborted } from './or-aborted.ts';

/** An answer, and for how long it is good. */
export interface Answer<T> {
  readonly value: T;
  /** Milliseconds from now; 0 or less: not to be kept. */
  readonly goodForMs: number;
}

/** Answers that are worth keeping for a while. */
export interface AnswerCache<T> {
  /**
   * The answer of before while it is good, else that of `ask`, which equal questions at the same time share: it must not
   * depend on who waits. An aborted signal throws its reason, and the others go on waiting.
   */
  get(key: string, ask: () => Promise<Answer<T>>, signal: AbortSignal): Promise<T>;
}

/** What answers are kept by. */
export interface AnswerCacheOptions {
  /** How many are kept: those that were used last. */
  readonly maxAnswers: number;
  /** What is asked for, as an error text names it. */
  readonly awaited: string;
  /** Hears of every question how old the answer was that was there, in seconds, or undefined. */
  readonly lookedUp?: ((ageSeconds: number | undefined) => void) | undefined;
  /** Milliseconds on a clock that nobody sets. */
  now?(): number;
}

interface Kept<T> {
  readonly value: T;
  readonly since: number;
}

/**
 * What `ask` throws is not kept. Only the questions that are asked at the moment are kept here and not by the LRUCache: its own
 * `fetch` ends a question for all who share it when the first of them gives up.
 */
export function createAnswerCache<T>({
  maxAnswers,
  awaited,
  lookedUp,
  now = () => performance.now(),
}: AnswerCacheOptions): AnswerCache<T> {
  const answers = new LRUCache<string, Kept<T>>({ max: maxAnswers, perf: { now }, ttlResolution: 0 });
  const asked = new Map<string, Promise<T>>();

  async function question(key: string, ask: () => Promise<Answer<T>>): Promise<T> {
    try {
      const { value, goodForMs } = await ask();
      if (goodForMs > 0) answers.set(key, { value, since: now() }, { ttl: goodForMs });
      return value;
    } finally {
      asked.delete(key);
    }
  }

  return {
    async get(key, ask, signal) {
      signal.throwIfAborted();
      const known = answers.get(key);
      lookedUp?.(known && (now() - known.since) / 1000);
      if (known !== undefined) return known.value;
      let answer = asked.get(key);
      if (answer === undefined) {
        // Not before it is among those that are asked, from which it takes itself, however soon `ask` throws.
        answer = Promise.resolve().then(() => question(key, ask));
        asked.set(key, answer);
      }
      try {
        return await orAborted(answer, signal);
      } catch (error) {
        throw signal.aborted ? whileWaiting(signal.reason, awaited) : error;
      }
    },
  };
}
