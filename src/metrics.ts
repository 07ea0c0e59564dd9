import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What is counted, named for what happened. */
export interface Metrics {
  callStarted(): void;
  /** `code` by its gRPC name, "OK". */
  callEnded(method: string, code: string, seconds: number): void;
  denied(verb: 'read' | 'write', reason: 'grant' | 'maxAccess'): void;
  /** Whether the file's newest content is the one in use. */
  fileReloaded(file: 'catalog' | 'grants', success: boolean): void;
  /** The number of volumes on the node; undefined: the pinner does not answer. */
  pinnerSeen(volumes: number | undefined): void;
  /** In Prometheus's text format. */
  render(): Promise<string>;
  readonly contentType: string;
}

/** Metrics in a registry of their own, all of them ours: bpffs_…. */
export function createMetrics(): Metrics {
  const registry = new Registry();
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
    callStarted: () => inFlight.inc(),
    callEnded(method, code, seconds) {
      inFlight.dec();
      duration.observe({ method, code }, seconds);
    },
    denied: (verb, reason) => denials.inc({ verb, reason }),
    fileReloaded: (file, success) => reloads.set({ file }, success ? 1 : 0),
    pinnerSeen(count) {
      pinnerUp.set(count === undefined ? 0 : 1);
      if (count === undefined) volumes.remove();
      else volumes.set(count);
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
