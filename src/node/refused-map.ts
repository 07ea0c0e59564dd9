import type { PodIdentity, Verb } from '../access/access.ts';
import { denial } from '../access/authorize.ts';
import type { MapRequest } from '../request/map-list.ts';
import { cut } from '../text.ts';
import type { Refusal, RefusalReason } from './volume-plan.ts';

/** A map that a pod asked for and did not get as it asked for, in a form to keep and to tell. */
export interface RefusedMap {
  readonly bpfMap: string;
  /** What the pod asked for. */
  readonly verb: Verb;
  readonly reason: RefusalReason;
  /** In place of "denied": why. */
  readonly cause: Exclude<RefusalReason, 'denied'> | 'grant' | 'maxAccess';
  /** What is wrong with this map, and what to do. */
  readonly message: string;
}

const MAX_MESSAGE_BYTES = 512;

/** `requested`: all maps that the pod asked for. */
export function toRefusedMaps(
  refusals: readonly Refusal[],
  requested: readonly MapRequest[],
  pod: PodIdentity,
): readonly RefusedMap[] {
  if (refusals.length === 0) return [];
  const verbs = new Map(requested.map(({ name, verb }) => [name, verb]));
  return refusals.map(({ map, reason, error, denied }) => ({
    bpfMap: map,
    verb: verbs.get(map) ?? 'read',
    reason,
    cause: denied?.reason ?? (reason === 'denied' ? 'grant' : reason),
    // The error for a new pod is about all maps that are denied.
    message: cut(denied === undefined ? error.message : denial(pod, [denied]).message, MAX_MESSAGE_BYTES),
  }));
}
