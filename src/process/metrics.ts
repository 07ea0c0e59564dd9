import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { CallMetrics } from '../rpc/adapter.ts';
import { version } from '../version.ts';

/** The metrics of a process, for Prometheus. */
export interface MetricsPage {
  /** In Prometheus's text format. */
  render(): Promise<string>;
  readonly contentType: string;
}

/** What every process counts. */
export interface ProcessMetrics extends CallMetrics, MetricsPage {
  /** Seconds since the last contact with the API server, of one watched resource; Infinity: never. */
  watchSeen(resource: string, stalenessSeconds: number): void;
  /** A request is sent to the API server. */
  requestSent(verb: string, resource: string): void;
}

/** Of histograms of calls, in seconds: most take about a millisecond, some wait for others. */
export const DURATION_BUCKETS = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30];

/** Adds to `registry`, all of which is rendered. */
export function createProcessMetrics(registry: Registry): ProcessMetrics {
  const registers = [registry];
  const info = new Gauge({
    name: 'bpffs_build_info',
    help: '1, for the version of this process and of its Node.js.',
    labelNames: ['version', 'nodejs'],
    registers,
  });
  info.set({ version, nodejs: process.version }, 1);
  const duration = new Histogram({
    name: 'bpffs_csi_call_duration_seconds',
    help: 'Time from a CSI call to its answer.',
    labelNames: ['method', 'code'],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const inFlight = new Gauge({
    name: 'bpffs_csi_calls_in_flight',
    help: 'CSI calls being answered, waiting ones included.',
    registers,
  });
  const faults = new Counter({
    name: 'bpffs_faults_total',
    help: 'Calls that failed for a fault of the driver itself; the log has each with its stack.',
    labelNames: ['method'],
    registers,
  });
  const staleness = new Gauge({
    name: 'bpffs_watch_staleness_seconds',
    help: 'Time since the API server was last heard of, by the kind of object that is watched.',
    labelNames: ['resource'],
    registers,
  });
  const requests = new Counter({
    name: 'bpffs_api_requests_total',
    help: 'Requests to the API server, by verb and kind of object. A watch is one request, and is made anew every 5 to 10 minutes.',
    labelNames: ['verb', 'resource'],
    registers,
  });
  return {
    // A counter that begins with its first count has no increase by it:
    // https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
    served: (method) => faults.inc({ method }, 0),
    callStarted: () => inFlight.inc(),
    faulted: (method) => faults.inc({ method }),
    callEnded(method, code, seconds) {
      inFlight.dec();
      duration.observe({ method, code }, seconds);
    },
    watchSeen: (resource, seconds) => staleness.set({ resource }, seconds),
    requestSent: (verb, resource) => requests.inc({ verb, resource }),
    render: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** Removes a gauge that has no value. */
export function setOrRemove(gauge: Gauge, value: number | undefined): void {
  if (value === undefined) gauge.remove();
  else gauge.set(value);
}
