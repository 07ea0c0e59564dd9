import type { Volume, VolumeSpec } from './volume.ts';

/**
 * The persistent volumes that exist: objects in a cluster, files without one. What is created or deleted is so when the call
 * returns, and survives a power loss. Everything may throw UNAVAILABLE when the store cannot be reached.
 */
export interface VolumeStore {
  /** The new volume or, untouched, the one that has the same volumeName already. */
  create(spec: VolumeSpec): Promise<Volume>;
  /** Undefined: there is none, for certain. Throws INTERNAL naming the object if it is there and cannot be read. */
  get(id: string): Promise<Volume | undefined>;
  list(): Promise<VolumeListing>;
  /** One that is not there is deleted already. May throw INTERNAL naming the object if it is there and cannot be read. */
  delete(id: string): Promise<void>;
  /**
   * Whether nobody can use the volume, for certain: there is no PersistentVolume that stands for it, and never was one. Undefined:
   * there is nowhere to ask.
   */
  readonly isUnused: ((volume: Volume) => Promise<boolean>) | undefined;
}

/** What the node plugin needs of it. */
export type VolumeReader = Pick<VolumeStore, 'get' | 'list'>;

/** All volumes, by id upwards. */
export interface VolumeListing {
  readonly volumes: readonly Volume[];
  /** Objects that are there and cannot be read, each as a sentence that says where it is and what is wrong. */
  readonly damaged: readonly string[];
}

/** An object that was read, or why not. Neither: it was gone again before. */
export interface ReadVolume {
  readonly volume?: Volume | undefined;
  readonly damage?: string | undefined;
}

/** As VolumeStore.list has them. */
export function toListing(all: readonly ReadVolume[]): VolumeListing {
  return {
    volumes: all.flatMap(({ volume }) => volume ?? []).sort((a, b) => (a.id < b.id ? -1 : 1)),
    damaged: all.flatMap(({ damage }) => damage ?? []).sort(),
  };
}
