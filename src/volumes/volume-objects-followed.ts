import type { KubernetesClient } from '../kubernetes/client.ts';
import { MAX_STALENESS_SECONDS, type ReflectorOptions, startReflector } from '../kubernetes/reflector.ts';
import { nameInVolumeId } from './volume-id.ts';
import { findVolumeObject } from './volume-objects.ts';
import { BPF_VOLUMES, readVolume } from './volume-objects-parse.ts';
import { type ReadVolume, toListing, type VolumeReader } from './volume-store.ts';

/** The volumes of one node, or all. */
export interface FollowedVolumes extends VolumeReader {
  /** Seconds since the API server was last heard of; Infinity: never. */
  staleness(): number;
  synced(): Promise<void>;
  close(): void;
}

export interface FollowedVolumesOptions extends Pick<ReflectorOptions<never>, 'failing' | 'timing' | 'pageSize'> {
  readonly client: KubernetesClient;
  /** Those that live elsewhere, or on every node, are not followed: `list` is without them. Undefined: all are followed. */
  readonly nodeName?: string;
  /** One is new or another, or gone. */
  changed?(): void;
  /** How old a copy is still of use. Seconds. */
  readonly maxStalenessSeconds?: number;
}

/**
 * Follows the BpfVolumes, of a node or all. `get` asks the API server about what is not in the copy, so that "there is none" is certain,
 * however late the copy is, and about everything while the copy is too old; it throws UNAVAILABLE when the API server cannot be
 * asked then. `list` has nothing but the copy, and throws UNAVAILABLE while there is none or it is too old.
 */
export function followVolumeObjects(options: FollowedVolumesOptions): FollowedVolumes {
  const { client, nodeName, maxStalenessSeconds = MAX_STALENESS_SECONDS } = options;
  const reflector = startReflector<ReadVolume>({
    ...options,
    resource: BPF_VOLUMES,
    ...(nodeName !== undefined && { fieldSelector: `spec.nodeName=${nodeName}` }),
    parse: readVolume,
  });
  return {
    staleness: reflector.staleness,
    synced: reflector.synced,
    close: reflector.close,

    async get(id) {
      const known = reflector.current().get(nameInVolumeId(id) ?? '');
      const isFresh = reflector.isSynced && reflector.staleness() <= maxStalenessSeconds;
      if (isFresh && known?.volume?.id === id) return known.volume;
      return await findVolumeObject(client, id);
    },

    async list() {
      reflector.requireFresh(maxStalenessSeconds);
      return toListing([...reflector.current().values()]);
    },
  };
}
