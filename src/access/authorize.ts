import { type CallError, permissionDenied } from '../errors.ts';
import type { BpfMap } from '../maps/catalog.ts';
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

/** Whether nobody may have the map like this, whatever is granted. */
export function exceedsMaxAccess({ maxAccess }: BpfMap, verb: Verb): boolean {
  return verb === 'write' && maxAccess !== 'ReadWrite';
}

/** A map that the pod may not have like this. */
export interface DeniedMap extends WantedMap, Objection {}

/** Undefined: the question was not asked, because enough was refused. */
export type Verdict = 'granted' | DeniedMap | undefined;

/** A status travels in an HTTP/2 header and ends in an event of at most 1,024 bytes: the first refusals must do. */
const MAX_LISTED = 4;

/** Questions of one pod that are asked at a time: it has up to 256 maps, and others ask too. */
const FAN_OUT = 8;

/**
 * For each of `wanted`, whether the pod may have it: within the map's maxAccess, and granted. Throws what `access` throws, and asks
 * nothing more then. Once more is refused than `denial` lists, `isEnough` may say that the rest need not be known.
 */
export async function authorize(
  wanted: readonly WantedMap[],
  pod: PodIdentity,
  access: Access,
  signal: AbortSignal,
  isEnough: () => Promise<boolean> = async () => false,
): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = wanted.map(() => undefined);
  const unasked = wanted.entries();
  let refused = 0;
  let isOver = false;
  const ask = async () => {
    for (const [index, one] of unasked) {
      const objection = await objectionTo(one, pod, access, signal);
      verdicts[index] = objection === undefined ? 'granted' : { ...one, ...objection };
      if (objection !== undefined) refused += 1;
      if (!isOver && refused > MAX_LISTED && (await isEnough())) isOver = true;
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

async function objectionTo(
  { map, verb }: WantedMap,
  pod: PodIdentity,
  access: Access,
  signal: AbortSignal,
): Promise<Objection | undefined> {
  if (exceedsMaxAccess(map, verb)) {
    return { reason: 'maxAccess', why: `nobody may: its spec.maxAccess is ${map.maxAccess}` };
  }
  const decision = await access.check(pod, map.name, verb, signal);
  return decision.allowed ? undefined : { reason: 'grant', why: `no grant: ${decision.remedy}` };
}

/**
 * PERMISSION_DENIED, naming the pod's user and, for the first maps, the verb and what stands against it. `isAll`: no other was left
 * unasked.
 */
export function denial(pod: PodIdentity, denied: readonly DeniedMap[], isAll = true): CallError {
  const listed = denied.slice(0, MAX_LISTED).map(({ map, verb, why }) => `${verb} map "${map.name}" (${why})`);
  const others = denied.length - listed.length;
  const more = isAll ? (others > 0 ? `, and ${others} more` : '') : `, and at least ${others} more`;
  return permissionDenied(`${userName(pod)} may not ${listed.join(', ')}${more}`);
}
