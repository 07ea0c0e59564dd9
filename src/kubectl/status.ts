import type { Reports } from './ask-node.ts';
import { age, bytes, type Column } from './output.ts';

/** How a node is, in one row. */
export interface NodeStatus {
  readonly node: string;
  readonly kernel: string | null;
  readonly version: string;
  /** Of the pinner; null: it does not answer. */
  readonly pinner: string | null;
  readonly volumes: number;
  /** Different maps in these volumes, and their kernel memory. */
  readonly maps: number;
  readonly memoryBytes: number;
  /** Seconds since the plugin last heard of the API server, the longest of its watches; null: never. */
  readonly stalenessSeconds: number | null;
  readonly started: string;
  readonly warnings: readonly string[];
  readonly failures: readonly string[];
}

/** A map that is in several volumes counts once. */
export function statusOf({ node, volumes }: Pick<Reports, 'node' | 'volumes'>): NodeStatus {
  const maps = new Map(volumes.volumes.flatMap(({ files }) => files.map(({ map }) => [map.id, map.memoryBytes])));
  const texts = (state: string) =>
    node.checks.filter((check) => check.state === state).map(({ what, found }) => `${what}: ${found}`);
  const ages = node.watches.map(({ stalenessSeconds }) => stalenessSeconds);
  return {
    node: node.node,
    kernel: node.pinner?.kernelRelease ?? null,
    version: node.version,
    pinner: node.pinner?.version ?? null,
    volumes: volumes.volumes.length + volumes.volumesLeftOut,
    maps: maps.size,
    memoryBytes: [...maps.values()].reduce((sum, memory) => sum + memory, 0),
    stalenessSeconds: ages.includes(null) ? null : Math.round(Math.max(0, ...ages.map(Number))),
    started: node.started,
    warnings: texts('warn'),
    failures: texts('fail'),
  };
}

/** `now`: milliseconds since the epoch. */
export function statusColumns(now: number): readonly Column<NodeStatus>[] {
  return [
    { title: 'NODE', cell: ({ node }) => node },
    { title: 'STATE', cell: stateText },
    { title: 'KERNEL', cell: ({ kernel }) => kernel ?? '-' },
    { title: 'VERSION', cell: ({ version }) => version },
    { title: 'PINNER', cell: ({ pinner }) => pinner ?? 'down' },
    { title: 'VOLUMES', cell: ({ volumes }) => volumes },
    { title: 'MAPS', cell: ({ maps }) => maps },
    { title: 'MEMORY', cell: ({ memoryBytes }) => bytes(memoryBytes) },
    { title: 'HEARD', cell: ({ stalenessSeconds }) => (stalenessSeconds === null ? 'never' : `${stalenessSeconds}s`) },
    { title: 'AGE', cell: ({ started }) => age(started, now) },
    { title: 'PROBLEMS', wide: true, cell: ({ failures, warnings }) => [...failures, ...warnings].join('; ') || '-' },
  ];
}

function stateText({ failures, warnings }: NodeStatus): string {
  if (failures.length > 0) return `${failures.length} failures`;
  return warnings.length > 0 ? `${warnings.length} warnings` : 'ok';
}
