import * as z from 'zod/mini';
import type { Claim } from '../kubernetes/claim.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import type { Binding, Volume } from '../volumes/volume.ts';

/** The part of a PersistentVolume that says which claim a volume belongs to. */
export interface PersistentVolume {
  readonly name: string;
  readonly volumeId: string;
  /** The claim that it is, was or will be bound to. */
  readonly claim: Claim | undefined;
  /** Undefined before it is bound. */
  readonly claimUid: string | undefined;
  readonly phase: string;
}

const schema = z.object({
  spec: z.object({
    csi: z.object({ driver: z.string(), volumeHandle: z.string() }),
    claimRef: z.nullish(z.object({ namespace: z.string(), name: z.string(), uid: z.nullish(z.string()) })),
  }),
  status: z.nullish(z.object({ phase: z.nullish(z.string()) })),
});

/** Undefined: not of this driver. */
export function parsePersistentVolume(object: KubernetesObject, driverName: string): PersistentVolume | undefined {
  const parsed = schema.safeParse(object);
  if (!parsed.success || parsed.data.spec.csi.driver !== driverName) return undefined;
  const { spec, status } = parsed.data;
  const claim = spec.claimRef ?? undefined;
  return {
    name: object.metadata.name,
    volumeId: spec.csi.volumeHandle,
    claim: claim && { namespace: claim.namespace, name: claim.name },
    claimUid: claim?.uid || undefined,
    phase: status?.phase ?? 'Pending',
  };
}

/**
 * Which claim the volume belongs to, according to the PersistentVolumes that refer to it; undefined: unknown yet. A PersistentVolume whose
 * claim is not in the namespace of the volume's original claim was written by hand, and is ignored.
 */
export function bindingOf(volume: Volume, all: readonly PersistentVolume[]): Binding | undefined {
  const { claim: made, volumeName } = volume.spec;
  const own = all.filter(({ claim }) => !made || !claim || claim.namespace === made.namespace);
  const bound = own.filter(({ phase }) => phase === 'Bound');
  // external-provisioner gives it the volume's name; one that is written by hand may have another.
  const { claim } = bound.find(({ name }) => name === volumeName) ?? bound[0] ?? {};
  if (claim !== undefined) return { phase: 'Bound', claim };
  // About to be bound for the first time, or not created yet.
  const isYoung = own.every(({ phase }) => phase === 'Pending' || phase === 'Available');
  return volume.binding === undefined && isYoung ? undefined : { phase: 'Released' };
}
