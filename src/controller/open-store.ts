import type { Claim } from '../kubernetes/claim.ts';
import type { Readiness } from '../process/readiness.ts';
import type { VolumeStore } from '../volumes/volume-store.ts';
import type { Ownership } from './find-owner.ts';

/** A store of volumes and what belongs to it, for the lifetime of the process. */
export interface OpenStore extends Pick<VolumeStore, 'list'> {
  readonly volumes: VolumeStore;
  /** See findOwner. Undefined without a cluster. */
  readonly findOwner: ((claim: Claim, volumeName: string) => Promise<Ownership>) | undefined;
  readonly readiness: Readiness;
  /** Resolves when `list` is complete. */
  synced(): Promise<void>;
  /** Updates gauges. */
  observe(): void;
  close(): void | Promise<void>;
}
