/** What was seen of the processes at the end of a round, when no volume was there. */
export interface Sample {
  /** How many calls the processes had answered until then. */
  readonly calls: number;
  readonly pinnerKibibytes: number;
  readonly nodePluginKibibytes: number;
}

/** Of the straight line that fits best (least squares), in units of `y` for each of `x`; 0 for fewer than two points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, value]) => value))];
  const spread = points.reduce((sum, [at]) => sum + (at - x) ** 2, 0);
  return spread === 0 ? 0 : points.reduce((sum, [at, value]) => sum + (at - x) * (value - y), 0) / spread;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/**
 * By how much the last third of some values lies above the third before it, as a factor: 1 for what stays as it is. The first third
 * does not count, in which caches fill.
 */
export function growth(values: readonly number[]): number {
  const third = Math.floor(values.length / 3);
  return median(values.slice(-third)) / median(values.slice(-2 * third, -third));
}
