/** How often something was done, and the seconds that it took, together. */
export interface Work {
  readonly count: number;
  readonly seconds: number;
}

/** The kubelet's work for volumes, by plugin and by CSI driver. */
export interface VolumeWork {
  /** Mounts of a plugin's volumes, with all that the kubelet does for them, and repeated ones. */
  mounts(plugin: string): Work;
  /** Calls of NodePublishVolume of a driver. */
  publishes(driver: string): Work;
  /** Time that requests to the API server waited because the kubelet limits itself. */
  readonly waiting: Work;
}

/** Reads what the kubelet serves at /metrics. Failed attempts count. */
export function readVolumeWork(metrics: string): VolumeWork {
  const of = (name: string, labels: Readonly<Record<string, string>>): Work => {
    const sum = (part: string) =>
      metrics
        .split('\n')
        .filter((line) => line.startsWith(`${name}_${part}{`))
        .filter((line) => Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)))
        .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0);
    return { count: sum('count'), seconds: sum('sum') };
  };
  return {
    mounts: (plugin) =>
      of('storage_operation_duration_seconds', { operation_name: 'volume_mount', volume_plugin: plugin }),
    publishes: (driver) =>
      of('csi_operations_seconds', { driver_name: driver, method_name: '/csi.v1.Node/NodePublishVolume' }),
    waiting: of('rest_client_rate_limiter_duration_seconds', {}),
  };
}

/** The work between two moments. */
export function workBetween(before: Work, after: Work): Work {
  return { count: after.count - before.count, seconds: after.seconds - before.seconds };
}
