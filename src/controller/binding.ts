import * as z from 'zod/mini';
import type { Claim } from '../kubernetes/claim.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import type { Binding, Volume } from '../volumes/volume.ts';

/** A PersistentVolume, as far as it says whose a volume is. */
export interface PersistentVolume {
  readonly name: string;
  readonly volumeId: string;
  /** To which it is bound, was bound, or is to be bound. */
  readonly claim: Claim | undefined;
  readonly phase: string;
}

const schema = z.object({
  spec: z.object({
    csi: z.object({ driver: z.string(), volumeHandle: z.string() }),
    claimRef: z.nullish(z.object({ namespace: z.string(), name: z.string() })),
  }),
  status: z.nullish(z.object({ phase: z.nullish(z.string()) })),
});

/** Undefined: it is another driver's. */
export function parsePersistentVolume(object: KubernetesObject, driverName: string): PersistentVolume | undefined {
  const parsed = schema.safeParse(object);
  if (!parsed.success || parsed.data.spec.csi.driver !== driverName) return undefined;
  const { spec, status } = parsed.data;
  const claim = spec.claimRef ?? undefined;
  return {
    name: object.metadata.name,
    volumeId: spec.csi.volumeHandle,
    claim: claim && { namespace: claim.namespace, name: claim.name },
    phase: status?.phase ?? 'Pending',
  };
}

/**
 * Whose the volume is, by the PersistentVolumes that name it; undefined: nobody has said yet. One whose claim is in another namespace
 * than that of the claim for which the volume was made was written by hand, and says nothing.
 */
export function bindingOf(volume: Volume, all: readonly PersistentVolume[]): Binding | undefined {
  const { claim: made, volumeName } = volume.spec;
  const own = all.filter(({ claim }) => !made || !claim || claim.namespace === made.namespace);
  const bound = own.filter(({ phase }) => phase === 'Bound');
  // external-provisioner gives it the volume's name, which one that is written by hand instead need not have.
  const { claim } = bound.find(({ name }) => name === volumeName) ?? bound[0] ?? {};
  if (claim !== undefined) return { phase: 'Bound', claim };
  // About to be bound for the first time, or not made yet.
  const isYoung = own.every(({ phase }) => phase === 'Pending' || phase === 'Available');
  return volume.binding === undefined && isYoung ? undefined : { phase: 'Released' };
}
