import type { BpfMap } from '../catalog/catalog.ts';
import { type CallError, permissionDenied } from '../errors.ts';
import { type Access, type PodIdentity, userName, type Verb } from './access.ts';

/** A map, and what the pod wants to do with it. */
export interface WantedMap {
  readonly map: BpfMap;
  readonly verb: Verb;
}

/** What stands against a map: that nobody gave it to the pod, or that nobody may have it like this. */
interface Objection {
  readonly reason: 'grant' | 'maxAccess';
  /** The same in a few words, with what to do. */
  readonly why: string;
}

/** A map that the pod may not have like this. */
export interface DeniedMap extends WantedMap, Objection {}

/** Both in the order in which they were wanted. */
export interface Authorization {
  readonly granted: readonly WantedMap[];
  readonly denied: readonly DeniedMap[];
}

/** A status travels in an HTTP/2 header and ends in an event of at most 1,024 bytes: the first refusals must do. */
const MOST_LISTED = 4;

/** What of `wanted` the pod may have: within the map's maxAccess, and granted. Throws what `access` throws. */
export async function authorize(
  wanted: readonly WantedMap[],
  pod: PodIdentity,
  access: Access,
  signal: AbortSignal,
): Promise<Authorization> {
  const objections = await Promise.all(
    wanted.map(async ({ map, verb }): Promise<Objection | undefined> => {
      if (verb === 'write' && map.maxAccess !== 'ReadWrite') {
        return { reason: 'maxAccess', why: `nobody may: its spec.maxAccess is ${map.maxAccess}` };
      }
      const decision = await access.check(pod, map.name, verb, signal);
      return decision.allowed ? undefined : { reason: 'grant', why: `no grant: ${decision.remedy}` };
    }),
  );
  const denied = wanted.flatMap((map, index) => {
    const objection = objections[index];
    return objection === undefined ? [] : { ...map, ...objection };
  });
  return { granted: wanted.filter((_, index) => objections[index] === undefined), denied };
}

/** PERMISSION_DENIED, naming the pod's user and, for each map, the verb and what stands against it. */
export function denial(pod: PodIdentity, denied: readonly DeniedMap[]): CallError {
  const listed = denied.slice(0, MOST_LISTED).map(({ map, verb, why }) => `${verb} map "${map.name}" (${why})`);
  const more = denied.length > MOST_LISTED ? `, and ${denied.length - MOST_LISTED} more` : '';
  return permissionDenied(`${userName(pod)} may not ${listed.join(', ')}${more}`);
}
