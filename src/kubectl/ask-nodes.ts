import { CallError, Code } from '../errors.ts';
import { ApiError } from '../kubernetes/api-error.ts';
import type { NodePod } from './node-pods.ts';

/** A node that did not answer. */
export interface Unanswered {
  readonly node: string;
  readonly error: string;
}

export interface AskOptions {
  /** Of one node, in milliseconds. */
  readonly timeoutMs: number;
  /** How many nodes have answered, or failed to. */
  progress?(asked: number): void;
}

/** Nodes that are asked at a time: as measured, more are not faster. */
const MAX_CONCURRENT = 64;

/**
 * Asks the nodes of `pods`, side by side. `ask` should keep no more of a report than it needs: there may be 5,000. Its errors become
 * `unanswered`, in the order of `pods`; but if no node may be asked at all, because a right is missing, that error is thrown.
 */
export async function askNodes(
  pods: readonly NodePod[],
  ask: (pod: NodePod, signal: AbortSignal) => Promise<void>,
  { timeoutMs, progress }: AskOptions,
): Promise<readonly Unanswered[]> {
  const errors = new Map<NodePod, CallError>();
  const queue = pods.values();
  let asked = 0;
  const work = async () => {
    for (const pod of queue) {
      const abort = new AbortController();
      const late = new CallError(Code.DEADLINE_EXCEEDED, `it did not answer within ${timeoutMs / 1000} s`);
      const timer = setTimeout(() => abort.abort(late), timeoutMs);
      try {
        await ask(pod, abort.signal);
      } catch (error) {
        errors.set(pod, CallError.from(error));
      } finally {
        clearTimeout(timer);
      }
      asked += 1;
      progress?.(asked);
    }
  };
  await Promise.all(Array.from({ length: Math.min(MAX_CONCURRENT, pods.length) }, work));
  const [first] = errors.values();
  if (first !== undefined && errors.size === pods.length && [...errors.values()].every(isForbidden)) throw first;
  return pods.flatMap((pod) => {
    const error = errors.get(pod);
    return error === undefined ? [] : [{ node: pod.node, error: error.message }];
  });
}

/** Whether the API server has refused because of who asks. */
export function isForbidden(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 403 || error.status === 401);
}
