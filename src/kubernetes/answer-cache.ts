/** An answer, and for how long it is good. */
export interface Answer<T> {
  readonly value: T;
  /** Milliseconds since the epoch; in the past: not to be kept. */
  readonly expiresAt: number;
}

/** Answers that are worth keeping for a while. */
export interface AnswerCache<T> {
  /**
   * The answer of before while it is good, else that of `ask`, which equal questions at the same time share: it must not
   * depend on who waits. An aborted signal throws its reason, and the others go on waiting.
   */
  get(key: string, ask: () => Promise<Answer<T>>, signal: AbortSignal): Promise<T>;
}

interface Kept<T> extends Answer<T> {
  readonly since: number;
}

/**
 * Keeps the `most` answers that were used last. What `ask` throws is not kept. `lookedUp` hears of every question how old the answer
 * was that was there, or undefined.
 */
export function createAnswerCache<T>(
  most: number,
  lookedUp?: (ageSeconds: number | undefined) => void,
): AnswerCache<T> {
  // A Map remembers the order of insertion: the first is the one that was not used for longest.
  const answers = new Map<string, Kept<T>>();
  const asked = new Map<string, Promise<T>>();

  function find(key: string): Kept<T> | undefined {
    const answer = answers.get(key);
    if (answer === undefined) return undefined;
    answers.delete(key);
    if (answer.expiresAt <= Date.now()) return undefined;
    answers.set(key, answer);
    return answer;
  }

  function keep(key: string, answer: Answer<T>): void {
    if (answer.expiresAt <= Date.now()) return;
    answers.set(key, { ...answer, since: Date.now() });
    const [oldest] = answers.keys();
    if (answers.size > most && oldest !== undefined) answers.delete(oldest);
  }

  return {
    async get(key, ask, signal) {
      signal.throwIfAborted();
      const known = find(key);
      lookedUp?.(known && (Date.now() - known.since) / 1000);
      if (known !== undefined) return known.value;
      let question = asked.get(key);
      if (question === undefined) {
        question = (async () => {
          try {
            const answer = await ask();
            keep(key, answer);
            return answer.value;
          } finally {
            asked.delete(key);
          }
        })();
        asked.set(key, question);
      }
      return await orAborted(question, signal);
    },
  };
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
