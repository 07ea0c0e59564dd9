import { resourceExhausted, whileWaiting } from '../errors.ts';

/** Limits how much is done concurrently. */
export interface Limiter {
  /**
   * Runs `work` when a place is free. Throws RESOURCE_EXHAUSTED if the queue is full. A signal that is aborted while waiting leaves the
   * queue, and its reason is thrown with what the call waited for.
   */
  run<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>;
}

/**
 * At most `maxRunning` run at a time, and at most `maxQueued` wait, first come first served. Default: no limit of the queue.
 *
 * No library does both. p-limit has neither a limit of the queue nor signals. p-queue rejects an aborted call while its work still runs:
 * the kubelet would see the call's end, and its target be free for the next call, too early.
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
        await turn(signal); // the place is handed over, so `running` does not change
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
