import {
  type Freshness,
  MAX_STALENESS_SECONDS,
  type ReflectorOptions,
  startReflector,
} from '../kubernetes/reflector.ts';
import type { BpfMap, Catalog } from './catalog.ts';
import { parseBpfMap } from './cluster-bpf-map.ts';

/**
 * The BpfMap objects of a cluster. `find` and `names` throw UNAVAILABLE before the first sync and while the cache is too old, and `find` also
 * for an object that may have been created during an outage. `names` omits unusable objects.
 */
export interface ClusterCatalog extends Catalog, Freshness {
  /** Throws UNAVAILABLE, saying why, whenever `find` does. */
  ready(): void;
  synced(): Promise<void>;
  size(): number;
  /** How many objects cannot be used. */
  invalid(): number;
  close(): void;
}

export interface ClusterCatalogOptions extends Pick<ReflectorOptions<never>, 'client' | 'failing' | 'timing'> {
  /** How old the cache may be. */
  readonly maxStalenessSeconds?: number;
  /** An unusable object was created, or changed. */
  rejected?(problem: string): void;
}

export const BPF_MAPS = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfmaps' };

/** Watches all BpfMaps. */
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
      return reflector.find(name);
    },
    names() {
      ready();
      return usable().map(({ name }) => name);
    },
    ready,
    synced: reflector.synced,
    staleness: reflector.staleness,
    failure: reflector.failure,
    size: () => reflector.current().size,
    invalid: () => reflector.current().size - usable().length,
    close: reflector.close,
  };
}
