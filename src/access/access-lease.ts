import * as z from 'zod/mini';
import { LEASES, type LeaseKey } from '../kubernetes/lease.ts';
import { microTime } from '../kubernetes/micro-time.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';

/**
 * What the controller says of RBAC in a Lease that all nodes watch.
 *
 * Whenever an RBAC object changes that may concern BpfMaps, the generation becomes another. A generation never returns with other grants:
 * it has a number that only increases, and a digest of the grants.
 */
export interface Beat {
  readonly generation: string;
  /** The process that has seen every change since it first said so; '': none, it has stopped. */
  readonly holder: string;
  /** How long the generation has existed, by the controller's clock. */
  readonly ageMs: number;
}

/** The controller renews the Lease at this interval. Each renewal is one watch event for each node. */
export const BEAT_MS = 10_000;

const GENERATION = 'bpffs.dev/access-generation';
const CHANGED = 'bpffs.dev/access-changed';

const leaseSchema = z.object({
  metadata: z.object({ annotations: z.object({ [GENERATION]: z.string(), [CHANGED]: z.string() }) }),
  spec: z.object({ holderIdentity: z.nullish(z.string()), renewTime: z.string() }),
});

/** Undefined: the object says nothing of access. */
export function parseBeat(object: KubernetesObject): Beat | undefined {
  const { success, data } = leaseSchema.safeParse(object);
  if (!success) return undefined;
  const { [GENERATION]: generation, [CHANGED]: changed } = data.metadata.annotations;
  const ageMs = Date.parse(data.spec.renewTime) - Date.parse(changed);
  if (Number.isNaN(ageMs)) return undefined;
  return { generation, holder: data.spec.holderIdentity ?? '', ageMs: Math.max(0, ageMs) };
}

/** The fields of a Lease that says `beat` now. */
export function leaseOf({ generation, holder, ageMs }: Beat, now: Date) {
  return {
    metadata: {
      annotations: { [GENERATION]: generation, [CHANGED]: microTime(new Date(now.getTime() - ageMs)) },
    },
    spec: { holderIdentity: holder, renewTime: microTime(now), leaseDurationSeconds: (3 * BEAT_MS) / 1000 },
  };
}

/** How a node selects the one Lease, which is all that it may read. */
export function selection({ namespace, name }: LeaseKey) {
  return { resource: LEASES, namespace, fieldSelector: `metadata.name=${name}` };
}
