import type { Graph } from '../graph.ts';
import { accountName, at, namesOf } from './names.ts';

/** What a reader wants to see of a graph. */
export interface Choice {
  /** Words that the names along a path must contain, in any order. */
  readonly text: string;
  /** Only this node. */
  readonly node: number | null;
  /** Whether groups are open; `auto`: where there is room. */
  readonly groups: 'auto' | 'open' | 'closed';
  /** The keys of the groups that are open in any case. */
  readonly open: ReadonlySet<string>;
}

/** Shows everything. */
export const EVERYTHING: Choice = { text: '', node: null, groups: 'auto', open: new Set() };

/** The paths that `choice` does not filter out. A BpfMap that no pod uses belongs to no node. */
export function chosen(graph: Graph, { text, node }: Choice): readonly number[] {
  const words = text.toLowerCase().split(/\s+/);
  const onNode = graph.paths.flatMap(({ pod }, index) =>
    node === null || (pod !== null && at(graph.pods, pod).node === node) ? [index] : [],
  );
  return namesOf(graph, onNode).flatMap(({ source, map, pod }, index) => {
    const names = [source, map.name, ...(pod ? [accountName(pod.account), pod.name, pod.node.name] : [])];
    const all = names.join('\n').toLowerCase();
    return words.every((word) => all.includes(word)) ? [at(onNode, index)] : [];
  });
}
