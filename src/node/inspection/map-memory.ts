import type { MapMemory, NodeMetrics } from '../metrics.ts';
import type { InspectionParts } from './inspection-parts.ts';
import { type VisitedVolume, visitVolumes } from './visit-volumes.ts';

/** Series of a metric that a scrape may have. */
const MAX_LISTED = 200;
/** To describe a volume takes the pinner about a millisecond: a second for 1,000 of them, too much for each scrape. */
const GOOD_FOR_MS = 300_000;
const TIMEOUT_MS = 10_000;

/** Returns what updates the metric if its figures are older than GOOD_FOR_MS. It never throws: figures that fail are left out. */
export function createMapMemory(
  parts: Pick<InspectionParts, 'pinner' | 'published'>,
  metrics: Pick<NodeMetrics, 'mapMemorySeen'>,
): () => Promise<void> {
  let goodUntil = Number.NEGATIVE_INFINITY;
  return async () => {
    if (performance.now() < goodUntil) return;
    const sum = createSum();
    try {
      const limits = { deadline: Date.now() + TIMEOUT_MS, signal: AbortSignal.timeout(TIMEOUT_MS) };
      await visitVolumes(parts, limits, sum.add);
      goodUntil = performance.now() + GOOD_FOR_MS;
      metrics.mapMemorySeen(largest(sum.all()));
    } catch {
      metrics.mapMemorySeen([]);
    }
  };
}

function createSum() {
  const counted = new Map<string, Set<number>>();
  const sums = new Map<string, MapMemory>();
  return {
    add({ known, found, bpfMapOf }: VisitedVolume): void {
      const namespace = known?.request.pod?.namespace;
      if (namespace === undefined) return;
      const ids = counted.get(namespace) ?? new Set();
      counted.set(namespace, ids);
      for (const file of found.files) {
        const name = bpfMapOf(file);
        if (name === undefined || file.map === null || ids.has(file.map.id)) continue;
        ids.add(file.map.id);
        const key = `${namespace}/${name}`;
        const bytes = (sums.get(key)?.bytes ?? 0) + file.map.memoryBytes;
        sums.set(key, { namespace, map: name, bytes });
      }
    },
    all: (): readonly MapMemory[] => [...sums.values()],
  };
}

/** The largest, and one for all others. */
export function largest(all: readonly MapMemory[], maxListed = MAX_LISTED): readonly MapMemory[] {
  if (all.length <= maxListed) return all;
  const sorted = all.toSorted((a, b) => b.bytes - a.bytes);
  const bytes = sorted.slice(maxListed).reduce((sum, other) => sum + other.bytes, 0);
  return [...sorted.slice(0, maxListed), { namespace: '', map: 'other', bytes }];
}
