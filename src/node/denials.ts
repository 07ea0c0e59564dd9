import { LRUCache } from 'lru-cache';
import type { PodIdentity } from '../access/access.ts';
import type { DenialReport, DenialsReport } from '../inspection/reports.ts';
import type { RefusedMap } from './refused-map.ts';

/** Remembers which maps were refused to which service accounts, the latest of them. */
export interface Denials {
  record(pod: PodIdentity, refused: readonly RefusedMap[]): void;
  report(): Omit<DenialsReport, 'node' | 'time'>;
}

/** Each has at most 2 KiB. */
const MAX_DENIALS = 1024;

/** Nothing is remembered at first. `maxDenials`: how many at most. */
export function createDenials(maxDenials = MAX_DENIALS): Denials {
  const since = new Date().toISOString();
  let leftOut = 0;
  const known = new LRUCache<string, DenialReport>({
    max: maxDenials,
    dispose(_value, _key, why) {
      if (why === 'evict') leftOut += 1;
    },
  });
  return {
    record({ namespace, serviceAccount, podName: pod }, refused) {
      const last = new Date().toISOString();
      for (const { bpfMap, verb, cause: reason, message } of refused) {
        const key = JSON.stringify([namespace, serviceAccount, bpfMap, verb, reason]);
        const { first = last, count = 0 } = known.get(key) ?? {};
        const denial = { namespace, serviceAccount, pod, bpfMap, verb, reason, message, first, last };
        known.set(key, { ...denial, count: count + 1 });
      }
    },
    // From the latest to the oldest.
    report: () => ({ since, denials: [...known.values()], denialsLeftOut: leftOut }),
  };
}
