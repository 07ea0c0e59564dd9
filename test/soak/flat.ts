/** What was measured at the end of a round, without any volume. */
export interface Sample {
  /** Calls that the processes had answered so far. */
  readonly calls: number;
  readonly pinnerKibibytes: number;
  readonly nodePluginKibibytes: number;
}

/** The slope of the best-fitting straight line (least squares), in `y` per `x`; 0 for fewer than two points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, value]) => value))];
  const spread = points.reduce((sum, [at]) => sum + (at - x) ** 2, 0);
  return spread === 0 ? 0 : points.reduce((sum, [at, value]) => sum + (at - x) * (value - y), 0) / spread;
}

/** The median. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/**
 * The ratio of the smallest value of the last third to that of the third before it: 1 if nothing grows. The first third, in which
 * caches fill, does not count. Only the smallest value tells a leak: what is in use after the allocator has returned free memory.
 * How much freed memory it holds in between is chance.
 */
export function growth(values: readonly number[]): number {
  const third = Math.floor(values.length / 3);
  return Math.min(...values.slice(-third)) / Math.min(...values.slice(-2 * third, -third));
}
