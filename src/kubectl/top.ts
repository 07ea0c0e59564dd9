import type { VolumesReport } from '../inspection/reports.ts';
import { bytes, type Column } from './output.ts';

/** The kernel memory of the maps that one namespace's pods have from one BpfMap, on all nodes. */
export interface MapMemory {
  /** Null: pods that are not known yet. */
  readonly namespace: string | null;
  /** Null: of volumes that do not come from the catalog. */
  readonly bpfMap: string | null;
  nodes: number;
  pods: number;
  maps: number;
  memoryBytes: number;
}

/** Adds up reports of different nodes. */
export interface MemorySum {
  add(report: VolumesReport): void;
  /** The largest first, equal ones by name. */
  rows(): readonly MapMemory[];
}

/** A map counts once for each namespace that has it, however many of its pods do. */
export function createMemorySum(): MemorySum {
  const sums = new Map<string, MapMemory>();
  return {
    add({ volumes }) {
      const here = new Map<string, { readonly ids: Set<number>; readonly pods: Set<string> }>();
      for (const { pod, podUid, files } of volumes) {
        const namespace = pod?.namespace ?? null;
        for (const { bpfMap, map } of files) {
          const key = JSON.stringify([namespace, bpfMap]);
          const sum = sums.get(key) ?? { namespace, bpfMap, nodes: 0, pods: 0, maps: 0, memoryBytes: 0 };
          sums.set(key, sum);
          const seen = here.get(key) ?? { ids: new Set(), pods: new Set() };
          if (!here.has(key)) sum.nodes += 1;
          here.set(key, seen);
          if (!seen.pods.has(podUid)) sum.pods += 1;
          seen.pods.add(podUid);
          if (seen.ids.has(map.id)) continue;
          seen.ids.add(map.id);
          sum.maps += 1;
          sum.memoryBytes += map.memoryBytes;
        }
      }
    },
    rows: () => [...sums.values()].sort((a, b) => b.memoryBytes - a.memoryBytes || compareNames(a, b)),
  };
}

function compareNames(a: MapMemory, b: MapMemory): number {
  const name = ({ namespace, bpfMap }: MapMemory) => `${namespace ?? ''}/${bpfMap ?? ''}`;
  return name(a) < name(b) ? -1 : 1;
}

export const MEMORY_COLUMNS: readonly Column<MapMemory>[] = [
  { title: 'NAMESPACE', cell: ({ namespace }) => namespace ?? '-' },
  { title: 'MAP', cell: ({ bpfMap }) => bpfMap ?? '-' },
  { title: 'MEMORY', cell: ({ memoryBytes }) => bytes(memoryBytes) },
  { title: 'MAPS', cell: ({ maps }) => maps },
  { title: 'PODS', cell: ({ pods }) => pods },
  { title: 'NODES', cell: ({ nodes }) => nodes },
];
