import type { Graph, Path } from '../graph.ts';
import { type Box, boxOf, type Part } from './box.ts';
import { type Choice, chosen } from './choice.ts';
import { stopsOf } from './fold.ts';
import { at, podsOf } from './names.ts';

/** The columns of the picture, from left to right. */
export const COLUMNS = ['Source', 'Map', 'Service account', 'Pod'] as const;

/** How an edge is drawn. `plain`: it does not tell of access. */
export type EdgeKind = 'plain' | 'read' | 'write' | 'replaced' | 'refused';

/** A line from a box to one of the next column. */
export interface Edge extends Part {
  readonly from: Box;
  readonly to: Box;
  readonly kind: EdgeKind;
}

/** The picture, without positions. */
export interface View {
  readonly paths: readonly number[];
  readonly columns: readonly (readonly Box[])[];
  readonly edges: readonly Edge[];
}

/** Folds the paths that are chosen into boxes and edges. */
export function viewOf(graph: Graph, choice: Choice): View {
  const paths = chosen(graph, choice);
  const routes = stopsOf(graph, paths, choice);
  const boxes = new Map(
    [...Map.groupBy(routes.flat(), ({ key }) => key)].map(([key, stops]) => [key, boxOf(graph, stops)]),
  );
  const steps = routes.flatMap((stops) =>
    stops.slice(1).map((to, column) => {
      const kind = column === 0 ? 'plain' : kindOf(at(graph.paths, to.path));
      return { from: at(stops, column).key, to: to.key, kind, path: to.path } as const;
    }),
  );
  const edges = [...Map.groupBy(steps, ({ from, to, kind }) => JSON.stringify([from, to, kind]))].map(
    ([key, members]): Edge => {
      const { from, to, kind } = at(members, 0);
      const ofEdge = members.map(({ path }) => path);
      const [left, right] = [boxes.get(from), boxes.get(to)];
      if (!left || !right) throw new Error('An edge has no box.');
      return { key, from: left, to: right, kind, paths: ofEdge, pods: podsOf(graph, ofEdge).size };
    },
  );
  return {
    paths,
    columns: COLUMNS.map((_, column) => [...boxes.values()].filter((box) => box.column === column)),
    edges,
  };
}

/** How the lines of a path are drawn. */
export function kindOf(path: Path): EdgeKind {
  if (path.refused) return 'refused';
  if (path.replaced) return 'replaced';
  return path.access ?? 'plain';
}
