/** What one measurement found, by name. */
export type Figures = Readonly<Record<string, number>>;

/**
 * Measures everything in each round, in turns, so that a noisy neighbour does not land in one row. Resolves with the median of
 * each figure over the rounds.
 */
export async function medianOfRounds<F extends Figures>(
  rounds: number,
  round: () => Promise<readonly F[]>,
): Promise<readonly F[]> {
  const all: (readonly F[])[] = [];
  for (let done = 0; done < rounds; done++) all.push(await round());
  const [first = []] = all;
  const middle = (index: number, name: string) => median(all.map((figures) => figures[index]?.[name] ?? Number.NaN));
  return first.map((figures, index) => {
    const names = Object.keys(figures);
    return Object.fromEntries(names.map((name) => [name, middle(index, name)])) as unknown as F;
  });
}

/** One measurement after the other. */
export async function inTurn<Item, F>(
  items: readonly Item[],
  measure: (item: Item) => Promise<F>,
): Promise<readonly F[]> {
  const figures: F[] = [];
  for (const item of items) figures.push(await measure(item));
  return figures;
}

/** The middle of the sorted values; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [below, above] = [(sorted.length - 1) >> 1, sorted.length >> 1];
  return ((sorted[below] ?? Number.NaN) + (sorted[above] ?? Number.NaN)) / 2;
}
