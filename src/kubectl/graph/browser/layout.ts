import type { Box } from './box.ts';
import { type Settled, type Sides, settled, sumOf } from './settle.ts';
import type { Edge, View } from './view.ts';

/** A place of the picture, in CSS pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Where an edge begins and ends, and how wide it is. */
export interface Curve {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly width: number;
}

/** Where everything is. */
export interface Layout {
  readonly height: number;
  readonly places: ReadonlyMap<Box, Place>;
  readonly curves: ReadonlyMap<Edge, Curve>;
}

const MIN_HEIGHT = 38;
/** Above and below the edges of a box. */
const PADDING = 10;
/** Of the edges at one side of a box, which get thinner if they have more. */
const MAX_SIDE = 64;
const MAX_EDGE_WIDTH = 14;
const EDGE_GAP = 3;
/** The share of the width that boxes take; the rest is for edges. */
const BOX_SHARE = 0.74;

/** Places boxes and edges. `width`: of the whole picture. */
export function layoutOf(view: View, width: number): Layout {
  const { columns, edges } = view;
  const sides = { incoming: Map.groupBy(edges, ({ to }) => to), outgoing: Map.groupBy(edges, ({ from }) => from) };
  const { widthOf, room } = widths(sides);
  const height = (box: Box) => {
    const [left, right] = [sides.incoming.get(box) ?? [], sides.outgoing.get(box) ?? []];
    return Math.max(MIN_HEIGHT, sumOf(left, room) + PADDING, sumOf(right, room) + PADDING);
  };
  const { total, middle } = settled(view, sides, height);
  const boxWidth = (width * BOX_SHARE) / columns.length;
  const x = ({ column }: Box) => (column * (width - boxWidth)) / (columns.length - 1);
  const placeOf = (box: Box) => {
    return { x: x(box), y: middle(box) - height(box) / 2, width: boxWidth, height: height(box) };
  };
  const [starts, stops] = [docks(sides.outgoing, 'to', middle, room), docks(sides.incoming, 'from', middle, room)];
  const curveOf = (edge: Edge) => {
    const [y1, y2] = [starts.get(edge) ?? 0, stops.get(edge) ?? 0];
    return { x1: x(edge.from) + boxWidth, y1, x2: x(edge.to), y2, width: widthOf(edge) };
  };
  return {
    height: total,
    places: new Map(columns.flat().map((box) => [box, placeOf(box)])),
    curves: new Map(edges.map((edge) => [edge, curveOf(edge)])),
  };
}

/** The widths of edges, and what they take at the side of a box. */
function widths({ incoming, outgoing }: Sides) {
  /** Grows with the root of the pods, so that one pod is still to be seen beside many. */
  const full = ({ pods }: Edge) => Math.max(1.5, Math.min(MAX_EDGE_WIDTH, 2 * Math.sqrt(pods)));
  const sides = [...incoming.values(), ...outgoing.values()];
  const longest = Math.max(MAX_SIDE, ...sides.map((side) => sumOf(side, (edge) => full(edge) + EDGE_GAP)));
  const scale = MAX_SIDE / longest;
  const widthOf = (edge: Edge) => Math.max(1, full(edge) * scale);
  return { widthOf, room: (edge: Edge) => widthOf(edge) + EDGE_GAP * scale };
}

/** The middle of each edge at one side of its box: one below the other, in the order of their other ends. */
function docks(
  side: Sides['incoming'],
  end: 'from' | 'to',
  middle: Settled['middle'],
  room: (edge: Edge) => number,
): ReadonlyMap<Edge, number> {
  const places = new Map<Edge, number>();
  for (const [box, edges] of side) {
    let y = middle(box) - sumOf(edges, room) / 2;
    for (const edge of edges.toSorted((a, b) => middle(a[end]) - middle(b[end]) || (a.kind < b.kind ? -1 : 1))) {
      places.set(edge, y + room(edge) / 2);
      y += room(edge);
    }
  }
  return places;
}
