import type { KubernetesClient } from '../kubernetes/client.ts';
import {
  type Freshness,
  MAX_STALENESS_SECONDS,
  type ReflectorOptions,
  startReflector,
} from '../kubernetes/reflector.ts';
import { nameInVolumeId } from './volume-id.ts';
import { findVolumeObject } from './volume-objects.ts';
import { BPF_VOLUMES, readVolume } from './volume-objects-parse.ts';
import { type ReadVolume, toListing, type VolumeReader } from './volume-store.ts';

/** An invalid BpfVolume. */
export interface DamagedObject {
  readonly name: string;
  readonly uid: string;
  /** A sentence that names the object and says what is wrong. */
  readonly damage: string;
}

/** The volumes of one node, or all, watched. */
export interface FollowedVolumes extends VolumeReader, Freshness {
  /** Those in the cache, however old it is. */
  damaged(): readonly DamagedObject[];
  synced(): Promise<void>;
  close(): void;
}

interface Followed extends ReadVolume {
  readonly uid: string;
}

export interface FollowedVolumesOptions extends Pick<ReflectorOptions<never>, 'failing' | 'timing' | 'pageSize'> {
  readonly client: KubernetesClient;
  /** Only volumes that live on this node are watched; `list` omits all others. Undefined: all volumes. */
  readonly nodeName?: string;
  /** A volume was created, changed or deleted. */
  changed?(): void;
  /** How old the cache may be. */
  readonly maxStalenessSeconds?: number;
}

/**
 * Watches the BpfVolumes of a node, or all. `get` asks the API server about volumes that are not in the cache, so that "does not exist" is
 * certain, and about all volumes while the cache is too old; it throws UNAVAILABLE if the API server cannot be asked then. `list` uses only
 * the cache, and throws UNAVAILABLE before the first sync and while the cache is too old.
 */
export function followVolumeObjects(options: FollowedVolumesOptions): FollowedVolumes {
  const { client, nodeName, maxStalenessSeconds = MAX_STALENESS_SECONDS } = options;
  const reflector = startReflector<Followed>({
    ...options,
    resource: BPF_VOLUMES,
    ...(nodeName !== undefined && { fieldSelector: `spec.nodeName=${nodeName}` }),
    parse: (object) => ({ ...readVolume(object), uid: object.metadata.uid }),
  });
  return {
    staleness: reflector.staleness,
    failure: reflector.failure,
    synced: reflector.synced,
    close: reflector.close,

    damaged: () =>
      [...reflector.current()].flatMap(([name, { uid, damage }]) =>
        damage === undefined ? [] : { name, uid, damage },
      ),

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
