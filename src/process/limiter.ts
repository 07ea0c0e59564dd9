import { resourceExhausted, whileWaiting } from '../errors.ts';

/** Bounds how much is done at a time. */
export interface Limiter {
  /**
   * Runs `work` when there is room. Beyond the queue's bound it throws RESOURCE_EXHAUSTED; a signal that is aborted while
   * waiting gives up the place in the queue and throws the signal's reason, saying what was waited for.
   */
  run<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>;
}

/**
 * At most `maxRunning` at a time; at most `maxQueued` wait, first come first served; by default as many as there are.
 *
 * No library does both. p-limit has neither bound nor signal; p-queue answers an aborted caller while its work still runs, and so the
 * kubelet would hear of a call's end, and its target be free for the next one, before it has ended.
 */
export function createLimiter(maxRunning: number, maxQueued = Number.POSITIVE_INFINITY): Limiter {
  const queue = new Set<() => void>();
  let running = 0;

  function turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        queue.delete(enter);
        reject(whileWaiting(signal?.reason, `one of ${running} calls that are in work to end`));
      };
      const enter = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      queue.add(enter);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  return {
    async run(signal, work) {
      signal?.throwIfAborted();
      if (running < maxRunning) {
        running++;
      } else if (queue.size < maxQueued) {
        await turn(signal); // the place is handed over by whoever leaves, so `running` stays as it is
      } else {
        const waiting = queue.size === 0 ? '' : ` and ${queue.size} wait`;
        throw resourceExhausted(`busy: ${running} calls are in work${waiting}; try again`);
      }
      try {
        return await work();
      } finally {
        const [next] = queue;
        if (next === undefined) running--;
        else {
          queue.delete(next);
          next();
        }
      }
    },
  };
}
