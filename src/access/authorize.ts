import { type CallError, permissionDenied } from '../errors.ts';
import type { BpfMap } from '../maps/catalog.ts';
import { type Access, type PodIdentity, userName, type Verb } from './access.ts';

/** A map, and the access that the pod asks for. */
export interface WantedMap {
  readonly map: BpfMap;
  readonly verb: Verb;
}

/** Why access is denied: there is no grant, or the map's maxAccess excludes it for everybody. */
interface Objection {
  readonly reason: 'grant' | 'maxAccess';
  /** The reason in a few words, with what to do. */
  readonly why: string;
}

/** Whether the map's maxAccess excludes the access, whatever is granted. */
export function exceedsMaxAccess({ maxAccess }: BpfMap, verb: Verb): boolean {
  return verb === 'write' && maxAccess !== 'ReadWrite';
}

/** A map that the pod may not have as requested. */
export interface DeniedMap extends WantedMap, Objection {}

/** A map that the pod may have as requested. */
export interface GrantedMap extends WantedMap {
  /** What grants it; see Decision. */
  readonly rule: string;
}

/** Undefined: not checked, because enough other maps were denied. */
export type Verdict = GrantedMap | DeniedMap | undefined;

export function isDenied(verdict: Verdict): verdict is DeniedMap {
  return verdict !== undefined && 'why' in verdict;
}

/** A status travels in an HTTP/2 header and ends in an event of at most 1,024 bytes, so only the first denials are listed. */
const MAX_LISTED = 4;

/** Concurrent checks for one pod: it has up to 256 maps, and other pods need checks too. */
const FAN_OUT = 8;

/**
 * Checks for each of `wanted` whether the pod may have it: within the map's maxAccess, and granted. Throws what `access` throws, and then
 * starts no more checks. Once more maps are denied than `denial` lists, `isEnough` decides whether to skip the rest.
 */
export async function authorize(
  wanted: readonly WantedMap[],
  pod: PodIdentity,
  access: Access,
  signal: AbortSignal,
  isEnough: () => Promise<boolean> = async () => false,
): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = wanted.map(() => undefined);
  const unchecked = wanted.entries();
  let denials = 0;
  let isOver = false;
  const ask = async () => {
    for (const [index, one] of unchecked) {
      const verdict = await judge(one, pod, access, signal);
      verdicts[index] = verdict;
      if (isDenied(verdict)) denials += 1;
      if (!isOver && denials > MAX_LISTED && (await isEnough())) isOver = true;
      if (isOver) return;
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(FAN_OUT, wanted.length) }, ask));
  } finally {
    isOver = true;
  }
  return verdicts;
}

async function judge(
  wanted: WantedMap,
  pod: PodIdentity,
  access: Access,
  signal: AbortSignal,
): Promise<GrantedMap | DeniedMap> {
  const { map, verb } = wanted;
  if (exceedsMaxAccess(map, verb)) {
    return {
      ...wanted,
      reason: 'maxAccess',
      why: `nobody may: its spec.maxAccess is ${map.maxAccess}; ask for it without :rw`,
    };
  }
  const decision = await access.check(pod, map.name, verb, signal);
  if (decision.allowed) return { ...wanted, rule: decision.rule };
  return { ...wanted, reason: 'grant', why: `no grant: ${decision.remedy}` };
}

/** PERMISSION_DENIED, naming the pod's user and, for the first maps, the verb and the reason. `isAll`: every map was checked. */
export function denial(pod: PodIdentity, denied: readonly DeniedMap[], isAll = true): CallError {
  const listed = denied.slice(0, MAX_LISTED).map(({ map, verb, why }) => `${verb} map "${map.name}" (${why})`);
  const others = denied.length - listed.length;
  const more = isAll ? (others > 0 ? `, and ${others} more` : '') : `, and at least ${others} more`;
  return permissionDenied(`${userName(pod)} may not ${listed.join(', ')}${more}`);
}
