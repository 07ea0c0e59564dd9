import type { Volume, VolumeSpec } from './volume.ts';

/**
 * The persistent volumes that exist: objects in a cluster, files without one. What was created or deleted stays so after a power loss. All
 * methods may throw UNAVAILABLE when the store cannot be reached.
 */
export interface VolumeStore {
  /** Returns the new volume or, unchanged, an existing one with the same volumeName. */
  create(spec: VolumeSpec): Promise<Volume>;
  /** Undefined: certainly none. Throws INTERNAL naming the object if it is invalid. */
  get(id: string): Promise<Volume | undefined>;
  list(): Promise<VolumeListing>;
  /** Succeeds if there is no such volume. May throw INTERNAL naming the object if it is invalid. */
  delete(id: string): Promise<void>;
  /** Whether the volume is certainly unused: no PersistentVolume refers to it, and none ever did. Undefined: this store cannot know. */
  readonly isUnused: ((volume: Volume) => Promise<boolean>) | undefined;
}

/** The part that the node plugin needs. */
export type VolumeReader = Pick<VolumeStore, 'get' | 'list'>;

/** All volumes, sorted by id. */
export interface VolumeListing {
  readonly volumes: readonly Volume[];
  /** Invalid objects, each as a sentence that says where it is and what is wrong. */
  readonly damaged: readonly string[];
}

/** A volume, or why it cannot be read. Neither: it was deleted meanwhile. */
export interface ReadVolume {
  readonly volume?: Volume | undefined;
  readonly damage?: string | undefined;
}

/** The result of VolumeStore.list. */
export function toListing(all: readonly ReadVolume[]): VolumeListing {
  return {
    volumes: all.flatMap(({ volume }) => volume ?? []).sort((a, b) => (a.id < b.id ? -1 : 1)),
    damaged: all.flatMap(({ damage }) => damage ?? []).sort(),
  };
}
