import { whileWaiting } from '../errors.ts';

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
  readonly most: number;
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
  readonly until: number;
}

/** What `ask` throws is not kept. */
export function createAnswerCache<T>({
  most,
  awaited,
  lookedUp,
  now = () => performance.now(),
}: AnswerCacheOptions): AnswerCache<T> {
  // A Map remembers the order of insertion: the first is the one that was not used for longest.
  const answers = new Map<string, Kept<T>>();
  const asked = new Map<string, Promise<T>>();

  function find(key: string): Kept<T> | undefined {
    const answer = answers.get(key);
    if (answer === undefined) return undefined;
    answers.delete(key);
    if (answer.until <= now()) return undefined;
    answers.set(key, answer);
    return answer;
  }

  function keep(key: string, { value, goodForMs }: Answer<T>): void {
    if (!(goodForMs > 0)) return;
    const since = now();
    answers.set(key, { value, since, until: since + goodForMs });
    const [oldest] = answers.keys();
    if (answers.size > most && oldest !== undefined) answers.delete(oldest);
  }

  async function question(key: string, ask: () => Promise<Answer<T>>): Promise<T> {
    try {
      const answer = await ask();
      keep(key, answer);
      return answer.value;
    } finally {
      asked.delete(key);
    }
  }

  return {
    async get(key, ask, signal) {
      signal.throwIfAborted();
      const known = find(key);
      lookedUp?.(known && (now() - known.since) / 1000);
      if (known !== undefined) return known.value;
      let answer = asked.get(key);
      if (answer === undefined) {
        // Not before it is among those that are asked, from which it takes itself, however soon `ask` throws.
        answer = Promise.resolve().then(() => question(key, ask));
        asked.set(key, answer);
      }
      return await orAborted(answer, signal, awaited);
    },
  };
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal, awaited: string): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(whileWaiting(signal.reason, awaited));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
