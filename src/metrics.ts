import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { VolumeListing } from './volumes/volume-store.ts';

/** What is counted of calls, and how all of it is read. */
export interface CallMetrics {
  callStarted(): void;
  /** `code` by its gRPC name, "OK". */
  callEnded(method: string, code: string, seconds: number): void;
  /** In Prometheus's text format. */
  render(): Promise<string>;
  readonly contentType: string;
}

/** What the node plugin counts, named for what happened. */
export interface Metrics extends CallMetrics {
  denied(verb: 'read' | 'write', reason: 'grant' | 'maxAccess'): void;
  /** Whether the file's newest content is the one in use. */
  fileReloaded(file: 'catalog' | 'grants', success: boolean): void;
  /** The number of volumes on the node; undefined: the pinner does not answer. */
  pinnerSeen(volumes: number | undefined): void;
}

/** What the controller counts. */
export interface ControllerMetrics extends CallMetrics {
  /** Undefined: the store cannot be read. */
  volumesSeen(listing: VolumeListing | undefined): void;
}

/** The node plugin's metrics in a registry of their own, all of them ours: bpffs_…. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const volumes = new Gauge({ name: 'bpffs_volumes', help: 'Volumes published on this node.', registers });
  const pinnerUp = new Gauge({ name: 'bpffs_pinner_up', help: '1 if the pinner answers.', registers });
  const denials = new Counter({
    name: 'bpffs_denials_total',
    help: 'Maps refused to a pod, by verb and by what stood against it.',
    labelNames: ['verb', 'reason'],
    registers,
  });
  const reloads = new Gauge({
    name: 'bpffs_file_reload_success',
    help: '1 if the newest content of the file is in use, 0 if it is bad and the one before is.',
    labelNames: ['file'],
    registers,
  });
  return {
    ...createCallMetrics(registry),
    denied: (verb, reason) => denials.inc({ verb, reason }),
    fileReloaded: (file, success) => reloads.set({ file }, success ? 1 : 0),
    pinnerSeen(count) {
      pinnerUp.set(count === undefined ? 0 : 1);
      if (count === undefined) volumes.remove();
      else volumes.set(count);
    },
  };
}

/** The controller's metrics, likewise. */
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
  return {
    ...createCallMetrics(registry),
    volumesSeen(listing) {
      up.set(listing === undefined ? 0 : 1);
      volumes.reset();
      if (listing === undefined) return damaged.remove();
      for (const type of ['maps', 'shared', 'workspace']) volumes.set({ type }, 0);
      for (const { spec } of listing.volumes) volumes.inc({ type: spec.content.type });
      damaged.set(listing.damaged.length);
    },
  };
}

function createCallMetrics(registry: Registry): CallMetrics {
  const registers = [registry];
  const duration = new Histogram({
    name: 'bpffs_csi_call_duration_seconds',
    help: 'Time from a CSI call to its answer.',
    labelNames: ['method', 'code'],
    buckets: [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30],
    registers,
  });
  const inFlight = new Gauge({
    name: 'bpffs_csi_calls_in_flight',
    help: 'CSI calls being answered, waiting ones included.',
    registers,
  });
  return {
    callStarted: () => inFlight.inc(),
    callEnded(method, code, seconds) {
      inFlight.dec();
      duration.observe({ method, code }, seconds);
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
