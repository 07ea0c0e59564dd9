import { LRUCache } from 'lru-cache';
import type { PodIdentity } from '../access/access.ts';
import type { DelegationDenialReport, DenialReport, DenialsReport } from '../inspection/reports.ts';
import type { RefusedDelegation } from './refused-delegation.ts';
import type { RefusedMap } from './refused-map.ts';

/** Remembers which maps and delegations were refused to which service accounts, the latest of them. */
export interface Denials {
  record(pod: PodIdentity, refused: readonly (RefusedMap | RefusedDelegation)[]): void;
  report(): Omit<DenialsReport, 'node' | 'time'>;
}

/** Each has at most 2 KiB. */
const MAX_DENIALS = 1024;

/** Nothing is remembered at first. `maxDenials`: how many at most. */
export function createDenials(maxDenials = MAX_DENIALS): Denials {
  const since = new Date().toISOString();
  let leftOut = 0;
  const known = new LRUCache<string, DenialReport | DelegationDenialReport>({
    max: maxDenials,
    dispose(_value, _key, why) {
      if (why === 'evict') leftOut += 1;
    },
  });
  return {
    record({ namespace, serviceAccount, podName: pod }, refused) {
      const last = new Date().toISOString();
      for (const one of refused) {
        const { cause: reason, message } = one;
        const object =
          one.verb === 'use'
            ? { bpfDelegation: one.bpfDelegation, verb: one.verb }
            : { bpfMap: one.bpfMap, verb: one.verb };
        const key = JSON.stringify([namespace, serviceAccount, object, reason]);
        const { first = last, count = 0 } = known.get(key) ?? {};
        known.set(key, { namespace, serviceAccount, pod, ...object, reason, message, first, last, count: count + 1 });
      }
    },
    report() {
      // From the latest to the oldest.
      const all = [...known.values()];
      const denials = all.filter((one) => one.verb !== 'use');
      const delegations = all.filter((one) => one.verb === 'use');
      return { since, denials, delegations, denialsLeftOut: leftOut };
    },
  };
}
