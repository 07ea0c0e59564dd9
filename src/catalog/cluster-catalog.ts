import { failedPrecondition } from '../errors.ts';
import { MOST_STALENESS, type ReflectorOptions, startReflector } from '../kubernetes/reflector.ts';
import type { BpfMap, Catalog } from './catalog.ts';
import { type InvalidBpfMap, parseBpfMap } from './cluster-bpf-map.ts';

/**
 * The BpfMap objects of a cluster. `find` and `names` throw UNAVAILABLE before the first copy is complete and while it is too old;
 * `find` throws FAILED_PRECONDITION for an object that is there and cannot be used.
 */
export interface ClusterCatalog extends Catalog {
  /** Throws as `find` does: UNAVAILABLE, and why. */
  ready(): void;
  synced(): Promise<void>;
  /** Seconds since the API server was last heard of; Infinity: never. */
  staleness(): number;
  /** How many objects there are. */
  size(): number;
  /** How many of them there are that cannot be used. */
  invalid(): number;
  close(): void;
}

export interface ClusterCatalogOptions extends Pick<ReflectorOptions<never>, 'client' | 'failing' | 'timing'> {
  /** How old a copy is still of use. Seconds. */
  readonly mostStaleness?: number;
  /** An object that cannot be used has appeared, or appeared anew. */
  rejected?(problem: string): void;
}

const BPF_MAPS = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfmaps' };

/** Follows all BpfMaps from now on. */
export function followClusterCatalog(options: ClusterCatalogOptions): ClusterCatalog {
  const { mostStaleness = MOST_STALENESS } = options;
  const reflector = startReflector<BpfMap | InvalidBpfMap>({
    ...options,
    resource: BPF_MAPS,
    parse: parseBpfMap,
    changed(_, map) {
      if (map !== undefined && 'problem' in map) options.rejected?.(map.problem);
    },
  });
  const ready = () => reflector.requireFresh(mostStaleness);
  return {
    find(name) {
      ready();
      const map = reflector.current().get(name);
      if (map !== undefined && 'problem' in map) throw failedPrecondition(map.problem);
      return map;
    },
    names() {
      ready();
      return valid(reflector.current().values()).map(({ name }) => name);
    },
    ready,
    synced: reflector.synced,
    staleness: reflector.staleness,
    size: () => reflector.current().size,
    invalid: () => reflector.current().size - valid(reflector.current().values()).length,
    close: reflector.close,
  };
}

function valid(maps: Iterable<BpfMap | InvalidBpfMap>): readonly BpfMap[] {
  return [...maps].flatMap((map) => ('problem' in map ? [] : map));
}
