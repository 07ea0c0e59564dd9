import { Gauge, Registry } from 'prom-client';
import { createProcessMetrics, type ProcessMetrics } from '../process/metrics.ts';
import type { VolumeListing } from '../volumes/volume-store.ts';

/** What the controller counts. */
export interface ControllerMetrics extends ProcessMetrics {
  /** Undefined: the store cannot be read. */
  volumesSeen(listing: VolumeListing | undefined): void;
}

/** The controller's metrics, bpffs_…, in a registry of their own. */
export function createControllerMetrics(): ControllerMetrics {
  const registry = new Registry();
  const registers = [registry];
  const up = new Gauge({ name: 'bpffs_volume_store_up', help: '1 if the volumes can be read.', registers });
  const volumes = new Gauge({
    name: 'bpffs_persistent_volumes',
    help: 'Persistent volumes that exist, by the type of their StorageClass.',
    labelNames: ['type'],
    registers,
  });
  const damaged = new Gauge({
    name: 'bpffs_persistent_volumes_damaged',
    help: 'Objects of persistent volumes that cannot be read; the log names them.',
    registers,
  });
  const released = new Gauge({
    name: 'bpffs_persistent_volumes_released',
    help: 'Persistent volumes that no claim is bound to any more: retained, or left behind.',
    registers,
  });
  return {
    ...createProcessMetrics(registry),
    volumesSeen(listing) {
      up.set(listing === undefined ? 0 : 1);
      volumes.reset();
      if (listing === undefined) {
        damaged.remove();
        return released.remove();
      }
      for (const type of ['maps', 'shared', 'workspace']) volumes.set({ type }, 0);
      for (const { spec } of listing.volumes) volumes.inc({ type: spec.content.type });
      damaged.set(listing.damaged.length);
      released.set(listing.volumes.filter(({ binding }) => binding?.phase === 'Released').length);
    },
  };
}
