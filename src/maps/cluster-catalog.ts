import { MAX_STALENESS_SECONDS, type ReflectorOptions, startReflector } from '../kubernetes/reflector.ts';
import type { BpfMap, Catalog } from './catalog.ts';
import { parseBpfMap } from './cluster-bpf-map.ts';

/**
 * The BpfMap objects of a cluster. `find` and `names` throw UNAVAILABLE before the first copy is complete and while it is too old.
 * `names` is without those that cannot be used.
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
  readonly maxStalenessSeconds?: number;
  /** An object that cannot be used has appeared, or appeared anew. */
  rejected?(problem: string): void;
}

const BPF_MAPS = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfmaps' };

/** Follows all BpfMaps from now on. */
export function followClusterCatalog(options: ClusterCatalogOptions): ClusterCatalog {
  const { maxStalenessSeconds = MAX_STALENESS_SECONDS } = options;
  const reflector = startReflector<BpfMap>({
    ...options,
    resource: BPF_MAPS,
    parse: parseBpfMap,
    changed(_, map) {
      if (map?.source.kind === 'unusable') options.rejected?.(map.source.problem);
    },
  });
  const ready = () => reflector.requireFresh(maxStalenessSeconds);
  const usable = () => [...reflector.current().values()].filter(({ source }) => source.kind !== 'unusable');
  return {
    find(name) {
      ready();
      return reflector.current().get(name);
    },
    names() {
      ready();
      return usable().map(({ name }) => name);
    },
    ready,
    synced: reflector.synced,
    staleness: reflector.staleness,
    size: () => reflector.current().size,
    invalid: () => reflector.current().size - usable().length,
    close: reflector.close,
  };
}
