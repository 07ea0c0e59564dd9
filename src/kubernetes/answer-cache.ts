import { LRUCache } from 'lru-cache';
import { whileWaiting } from '../errors.ts';
import { orAborted } from './or-aborted.ts';

/** An answer and its lifetime. */
export interface Answer<T> {
  readonly value: T;
  /** Milliseconds from now; 0 or less: not cached. */
  readonly goodForMs: number;
  /** Whether an answer of this age is still good, after `goodForMs`. Asked at each use. Default: no. */
  isStillGood?(ageMs: number): boolean;
}

/** A cache of answers, in which concurrent equal questions are asked once. */
export interface AnswerCache<T> {
  /**
   * Returns the cached answer or that of `ask`, which concurrent callers with the same key share: it must not depend on the caller. An
   * aborted signal throws its reason, and the other callers go on waiting.
   */
  get(key: string, ask: () => Promise<Answer<T>>, signal: AbortSignal): Promise<T>;
}

export interface AnswerCacheOptions {
  /** How many are cached; the least recently used are dropped. */
  readonly maxAnswers: number;
  /** What callers wait for, in an error text. */
  readonly awaited: string;
  /** Called for every question with the age of the cached answer in seconds; undefined: not cached. */
  readonly lookedUp?: ((ageSeconds: number | undefined) => void) | undefined;
  /** Milliseconds of a monotonic clock. */
  now?(): number;
}

interface Kept<T> extends Answer<T> {
  readonly since: number;
}

/**
 * Errors of `ask` are not cached. Pending questions are kept here and not by the LRUCache, whose `fetch` aborts a question for all callers
 * when the first one gives up.
 */
export function createAnswerCache<T>({
  maxAnswers,
  awaited,
  lookedUp,
  now = () => performance.now(),
}: AnswerCacheOptions): AnswerCache<T> {
  const answers = new LRUCache<string, Kept<T>>({ max: maxAnswers });
  const pending = new Map<string, Promise<T>>();

  async function question(key: string, ask: () => Promise<Answer<T>>): Promise<T> {
    try {
      const answer = await ask();
      if (answer.goodForMs > 0) answers.set(key, { ...answer, since: now() });
      return answer.value;
    } finally {
      pending.delete(key);
    }
  }

  function lookUp(key: string): Kept<T> | undefined {
    const known = answers.get(key);
    if (known === undefined) return undefined;
    const ageMs = now() - known.since;
    if (ageMs <= known.goodForMs || known.isStillGood?.(ageMs) === true) return known;
    answers.delete(key);
    return undefined;
  }

  return {
    async get(key, ask, signal) {
      signal.throwIfAborted();
      const known = lookUp(key);
      lookedUp?.(known && (now() - known.since) / 1000);
      if (known !== undefined) return known.value;
      let answer = pending.get(key);
      if (answer === undefined) {
        // Runs after it is in `pending`, from which it removes itself, even if `ask` throws at once.
        answer = Promise.resolve().then(() => question(key, ask));
        pending.set(key, answer);
      }
      try {
        return await orAborted(answer, signal);
      } catch (error) {
        throw signal.aborted ? whileWaiting(signal.reason, awaited) : error;
      }
    },
  };
}
