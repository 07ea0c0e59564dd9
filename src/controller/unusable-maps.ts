import { type ReflectorOptions, startReflector } from '../kubernetes/reflector.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import type { Logger } from '../logger.ts';
import { parseBpfMap } from '../maps/cluster-bpf-map.ts';
import { BPF_MAPS } from '../maps/cluster-catalog.ts';
import { logOutage } from './log-outage.ts';
import type { Problem } from './problem-events.ts';

/** BpfMaps in a page of a list: all at once might take too much memory. */
const PAGE = 500;

/** The BpfMaps that cannot be used, watched. Of all others only their names are kept in memory. */
export interface UnusableMaps {
  problems(): readonly Problem[];
  /** Seconds since the last contact with the API server; Infinity: never. */
  staleness(): number;
  close(): void;
}

export interface UnusableMapsOptions extends Pick<ReflectorOptions<never>, 'client' | 'timing'> {
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** A BpfMap was created, changed or deleted. */
  changed(): void;
}

export function followUnusableMaps(options: UnusableMapsOptions): UnusableMaps {
  const { log, ...others } = options;
  const reflector = startReflector({
    ...others,
    resource: BPF_MAPS,
    pageSize: PAGE,
    parse: problemOf,
    failing: logOutage(log, 'bpfmaps'),
  });
  return {
    problems: () => [...reflector.current().values()].filter((problem) => problem !== undefined),
    staleness: reflector.staleness,
    close: reflector.close,
  };
}

function problemOf(object: KubernetesObject): Problem | undefined {
  const { source } = parseBpfMap(object);
  if (source.kind !== 'unusable') return undefined;
  const { name, uid } = object.metadata;
  return {
    regarding: { apiVersion: 'bpffs.dev/v1alpha1', kind: 'BpfMap', name, uid },
    reason: 'InvalidBpfMap',
    note: source.problem,
  };
}
