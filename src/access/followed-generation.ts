import type { LeaseKey } from '../kubernetes/lease.ts';
import { type Freshness, type ReflectorOptions, startReflector } from '../kubernetes/reflector.ts';
import { parseBeat, selection } from './access-lease.ts';
import { createGeneration, type Generation } from './generation.ts';

/** The generation of access, by a watch of its Lease. */
export interface FollowedGeneration extends Generation, Freshness {
  close(): void;
}

/** Needs the rights to list and watch the Lease. Without them, or without a controller, it is never heard. */
export function followGeneration({
  lease,
  now,
  ...options
}: Pick<ReflectorOptions<never>, 'client' | 'failing' | 'timing'> & {
  readonly lease: LeaseKey;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}): FollowedGeneration {
  const generation = createGeneration(now);
  const { staleness, failure, close } = startReflector({
    ...options,
    ...selection(lease),
    parse: parseBeat,
    changed: (_, beat) => generation.hear(beat),
  });
  return { ...generation, staleness, failure, close };
}
