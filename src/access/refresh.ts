/** Chooses which of the kept answers are asked for anew: one a minute, about the oldest first, however many there are. */
export interface Refresh {
  /** The answer was just given. */
  given(key: string): void;
  /** Whether an answer of this age, which is about to be used, must be asked for anew. */
  isDue(key: string, ageMs: number): boolean;
}

const INTERVAL_MS = 60_000;
const MIN_AGE_MS = 10 * 60_000;
/** With one a minute, the answers for 110 pods with two maps each take less than this. */
const MAX_AGE_MS = 4 * 60 * 60_000;
/** The kubelet looks at each running pod more often than this; an answer that is not used belongs to a pod that is gone. */
const UNUSED_MS = 180_000;
/** Waiting for the very oldest one to be used would take too long. */
const SHARE = 0.95;

/** `now`: milliseconds of a monotonic clock. */
export function createRefresh(now: () => number): Refresh {
  /** In the order in which they were given. */
  const answers = new Map<string, { readonly since: number; usedAt: number }>();
  let refreshedAt = Number.NEGATIVE_INFINITY;

  function oldest(): number {
    for (const [key, { since, usedAt }] of answers) {
      if (now() - since > MAX_AGE_MS) answers.delete(key);
      else if (now() - usedAt <= UNUSED_MS) return now() - since;
    }
    return 0;
  }

  return {
    given(key) {
      answers.delete(key);
      answers.set(key, { since: now(), usedAt: now() });
    },
    isDue(key, ageMs) {
      const answer = answers.get(key);
      if (answer !== undefined) answer.usedAt = now();
      if (ageMs >= MAX_AGE_MS) return true;
      if (ageMs < MIN_AGE_MS || now() - refreshedAt < INTERVAL_MS || ageMs < SHARE * oldest()) return false;
      refreshedAt = now();
      return true;
    },
  };
}
