import type { PodIdentity, Verb } from '../access/access.ts';
import { authorize, type DeniedMap, type WantedMap } from '../access/authorize.ts';
import type { BpfMap } from '../catalog/catalog.ts';
import { CallError } from '../errors.ts';
import type { Source } from '../rpc/generated/pinner.ts';
import type { MapRequest } from '../volumes/map-list.ts';
import type { Authority } from './authority.ts';

/**
 * From a BpfMap to a source that the pinner of this node understands. Throws UNAVAILABLE while there is none, and
 * FAILED_PRECONDITION where somebody has to change something first.
 */
export type ResolveSource = (map: BpfMap) => Source | Promise<Source>;

/** What is known at one moment of a map that a pod asks for. */
export interface MapLook {
  readonly asked: MapRequest;
  /** Undefined: there is no BpfMap of that name. */
  readonly map: BpfMap | undefined;
  /** What stands against what was asked. Undefined, though the pod may do nothing: that was enough, and this was not asked. */
  readonly denied: DeniedMap | undefined;
  /** What the pod may do, no more than it asked: to read, perhaps, what it may not write. Undefined: nothing. */
  readonly verb: Verb | undefined;
  /** Why there is no source, where `verb` is given and there is none. */
  readonly source: Source | CallError | undefined;
}

/**
 * Looks at every map, in the order in which they are asked for. Throws what says nothing of a single map. `isEnough`: whether a few
 * refusals are all that anybody wants to know.
 */
export async function lookAtMaps(
  requested: readonly MapRequest[],
  pod: PodIdentity,
  { catalog, access, resolveSource }: Pick<Authority, 'catalog' | 'access' | 'resolveSource'>,
  signal: AbortSignal,
  isEnough: () => Promise<boolean>,
): Promise<readonly MapLook[]> {
  const wanted = requested.flatMap(({ name, verb }): WantedMap[] => {
    const map = catalog.find(name);
    return map === undefined ? [] : [{ map, verb }];
  });
  const { granted, denied } = await authorize(wanted, pod, access, signal, isEnough);
  const toRead = denied.flatMap(({ map, verb }): WantedMap[] => (verb === 'write' ? [{ map, verb: 'read' }] : []));
  const { granted: readable } = await authorize(toRead, pod, access, signal);
  const found = byName(wanted);
  const [refused, allowed] = [byName(denied), byName([...granted, ...readable])];
  const looks: MapLook[] = [];
  for (const asked of requested) {
    const map = found.get(asked.name)?.map;
    const objection = refused.get(asked.name);
    const verb = allowed.get(asked.name)?.verb;
    if (map === undefined || verb === undefined) {
      looks.push({ asked, map, denied: objection, verb: undefined, source: undefined });
      continue;
    }
    let source: Source | CallError;
    try {
      const resolved = resolveSource(map);
      source = resolved instanceof Promise ? await resolved : resolved;
    } catch (error) {
      source = CallError.from(error);
    }
    looks.push({ asked, map, denied: objection, verb, source });
  }
  return looks;
}

function byName<T extends WantedMap>(maps: readonly T[]): ReadonlyMap<string, T> {
  return new Map(maps.map((one) => [one.map.name, one]));
}
