import type { Box } from './box.ts';
import { spread } from './spread.ts';
import type { Edge, View } from './view.ts';

/** The edges at each side of a box. */
export interface Sides {
  readonly incoming: ReadonlyMap<Box, readonly Edge[]>;
  readonly outgoing: ReadonlyMap<Box, readonly Edge[]>;
}

/** Where the boxes are from top to bottom. */
export interface Settled {
  readonly total: number;
  readonly middle: (box: Box) => number;
}

const GAP = 10;
/** In a column that has room. */
const MAX_GAP = 32;
/** Over all columns, there, back and so on; then hardly anything moves. */
const SWEEPS = 7;

/** Orders the boxes of each column, and moves each towards the boxes that it has edges to, so that few edges cross and most are short. */
export function settled({ columns }: View, { incoming, outgoing }: Sides, height: (box: Box) => number): Settled {
  const total = Math.max(0, ...columns.map((boxes) => sumOf(boxes, (box) => height(box) + GAP) - GAP));
  const middles = new Map<Box, number>();
  const middle = (box: Box) => middles.get(box) ?? 0;
  for (const boxes of columns)
    for (const [index, box] of boxes.toSorted(byName).entries())
      middles.set(box, ((index + 0.5) / boxes.length) * total);

  const wish = (box: Box) => {
    const edges = [...(incoming.get(box) ?? []), ...(outgoing.get(box) ?? [])];
    const sum = sumOf(edges, (edge) => weight(edge) * middle(edge.to === box ? edge.from : edge.to));
    return { box, height: height(box), middle: edges.length > 0 ? sum / sumOf(edges, weight) : middle(box) };
  };
  const settle = (boxes: readonly Box[]) => {
    const wishes = boxes.map(wish).sort((a, b) => a.middle - b.middle || byName(a.box, b.box));
    const room = (total - sumOf(boxes, height)) / Math.max(1, boxes.length - 1);
    const tops = spread(wishes, Math.max(GAP, Math.min(MAX_GAP, room)), total);
    for (const [index, { box }] of wishes.entries()) middles.set(box, (tops[index] ?? 0) + height(box) / 2);
  };
  for (let sweep = 0; sweep < SWEEPS; sweep++)
    for (const boxes of sweep % 2 ? columns.toReversed() : columns) settle(boxes);
  return { total, middle };
}

/** The sum of a number of each element. */
export function sumOf<T>(all: readonly T[], value: (one: T) => number): number {
  return all.reduce((sum, one) => sum + value(one), 0);
}

const weight = ({ pods }: Edge) => pods + 1;
const byName = (a: Box, b: Box) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
