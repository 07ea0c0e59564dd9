import { cut } from '../text.ts';

/** The command that grants it is longer than that for a map. */
const MAX_MESSAGE_BYTES = 1024;

/** A delegation that a pod asked for and may not have, in a form to keep and to tell; see RefusedMap. */
export interface RefusedDelegation {
  readonly bpfDelegation: string;
  readonly verb: 'use';
  /** Not granted, or no such BpfDelegation. */
  readonly cause: 'grant' | 'absent';
  readonly message: string;
}

/** `why`: what is wrong, and what to do; it is truncated. */
export function toRefusedDelegation(
  bpfDelegation: string,
  cause: RefusedDelegation['cause'],
  why: string,
): RefusedDelegation {
  return { bpfDelegation, verb: 'use', cause, message: cut(why, MAX_MESSAGE_BYTES) };
}
