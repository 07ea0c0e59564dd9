import type { BpfMap } from '../maps/catalog.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { CallLimits } from '../pinner/unary-client.ts';
import type { Source } from '../rpc/pinner.ts';
import type { Policy } from './policy.ts';

/** The kernel's id of the map that is at a source now. Throws UNAVAILABLE or FAILED_PRECONDITION if there is none. */
export async function idOfSource(
  source: Source | null,
  pinner: Pick<Pinner, 'describeMap'>,
  limits: CallLimits,
): Promise<number | undefined> {
  return (await pinner.describeMap({ source }, limits)).map?.id;
}

/** As idOfSource, for the source of a BpfMap. Also throws what `resolveSource` throws. */
export async function idOfMap(
  map: BpfMap,
  { policy, pinner }: { readonly policy: Pick<Policy, 'resolveSource'>; readonly pinner: Pick<Pinner, 'describeMap'> },
  limits: CallLimits,
): Promise<number | undefined> {
  return await idOfSource(await policy.resolveSource(map), pinner, limits);
}
