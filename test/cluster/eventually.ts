import { setTimeout as sleep } from 'node:timers/promises';

const INTERVAL_MS = 200;

/** Thrown by an attempt when trying again is useless. */
export class Hopeless extends Error {}

/**
 * Tries until the attempt returns something, and returns that. An error of the attempt counts as "not yet" and is named when
 * the time is up; a Hopeless is thrown on at once.
 *
 * `what`: as in "not within 5 s: the API server is ready".
 */
export async function eventually<T>(
  what: string,
  seconds: number,
  attempt: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    let reason = '';
    try {
      const result = await attempt();
      if (result !== undefined && result !== false) return result;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      reason = `: ${error instanceof Error ? error.message : error}`;
    }
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${what}${reason}`);
    await sleep(INTERVAL_MS);
  }
}
