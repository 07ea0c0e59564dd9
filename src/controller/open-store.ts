import type { Readiness } from '../process/readiness.ts';
import type { VolumeStore } from '../volumes/volume-store.ts';

/** A store of volumes and what belongs to it, for the lifetime of the process. */
export interface OpenStore extends Pick<VolumeStore, 'list'> {
  readonly volumes: VolumeStore;
  readonly readiness: Readiness;
  /** Resolves when `list` is complete. */
  synced(): Promise<void>;
  /** Updates gauges. */
  observe(): void;
  close(): void | Promise<void>;
}
