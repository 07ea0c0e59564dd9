import type { Cluster } from '../../cluster/cluster.ts';
import { createPodHistory, POD_EVENT, type PodHistory, readPodEvent } from './pod-history.ts';

/** A watch of the pods of a namespace. It costs one process, and no polling. */
export interface PodWatch extends AsyncDisposable {
  /** In seconds. */
  readonly history: PodHistory;
  /** Resolves once the history is so. Rejects if the watch fails, or after some time. */
  until(what: string, seconds: number, isSo: (history: PodHistory) => boolean): Promise<void>;
}

export function watchPods(cluster: Cluster, namespace: string): PodWatch {
  const history = createPodHistory();
  const end = new AbortController();
  let changed = Promise.withResolvers<void>();
  const lines = cluster.follow(
    end.signal,
    ...[
      'get',
      'pods',
      `--namespace=${namespace}`,
      '--watch',
      '--output-watch-events',
      `--output=jsonpath=${POD_EVENT}`,
    ],
  );
  const following = (async () => {
    for await (const line of lines) {
      history.note(readPodEvent(line), performance.now() / 1000);
      changed.resolve();
      changed = Promise.withResolvers();
    }
    throw new Error('the watch of pods has ended');
  })();
  following.catch(() => {});
  return {
    history,
    async until(what, seconds, isSo) {
      const late = AbortSignal.timeout(seconds * 1000);
      const expired = new Promise<never>((_, reject) => {
        late.addEventListener('abort', () => reject(new Error(`not within ${seconds} s: ${what}`)));
      });
      while (!isSo(history)) await Promise.race([changed.promise, following, expired]);
    },
    async [Symbol.asyncDispose]() {
      end.abort();
      await following.catch(() => {});
    },
  };
}
