import type { BpfMap } from '../catalog/catalog.ts';
import { permissionDenied } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import { type Access, type PodIdentity, userName, type Verb } from './access.ts';

/** A map, and what the pod wants to do with it. */
export interface WantedMap {
  readonly map: BpfMap;
  readonly verb: Verb;
}

/** A status travels in an HTTP/2 header and ends in an event of at most 1,024 bytes: the first refusals must do. */
const MOST_LISTED = 4;

/**
 * Returns if the pod may have all of `wanted`. Otherwise throws one PERMISSION_DENIED that names the pod's user and, for each
 * map, the verb and what stands against it: the map's maxAccess, or a missing grant.
 */
export async function authorize(
  wanted: readonly WantedMap[],
  pod: PodIdentity,
  access: Access,
  metrics: Metrics,
  signal: AbortSignal,
): Promise<void> {
  const refusals: string[] = [];
  await Promise.all(
    wanted.map(async ({ map, verb }) => {
      if (verb === 'write' && map.maxAccess !== 'ReadWrite') {
        metrics.denied(verb, 'maxAccess');
        refusals.push(`${verb} map "${map.name}" (nobody may: its spec.maxAccess is ${map.maxAccess})`);
        return;
      }
      const decision = await access.check(pod, map.name, verb, signal);
      if (decision.allowed) return;
      metrics.denied(verb, 'grant');
      refusals.push(`${verb} map "${map.name}" (no grant: ${decision.remedy})`);
    }),
  );
  if (refusals.length === 0) return;
  const more = refusals.length > MOST_LISTED ? `, and ${refusals.length - MOST_LISTED} more` : '';
  throw permissionDenied(`${userName(pod)} may not ${refusals.slice(0, MOST_LISTED).join(', ')}${more}`);
}
