import type { Graph, GraphAccount, GraphMap, GraphNode, GraphPod, Path } from '../graph.ts';

/** A path with what its indices mean. Undefined: no pod uses the map. */
export interface Names {
  readonly path: Path;
  readonly source: string;
  readonly map: GraphMap;
  readonly pod?: { readonly index: number; readonly node: GraphNode; readonly account: GraphAccount } & Omit<
    GraphPod,
    'node' | 'account'
  >;
}

/** Looks everything up; in the order of `paths`. */
export function namesOf(graph: Graph, paths: readonly number[]): readonly Names[] {
  return paths.map((index) => {
    const path = at(graph.paths, index);
    const map = at(graph.maps, path.map);
    const source = at(graph.sources, map.source);
    if (path.pod === null) return { path, source, map };
    const { name, node, account } = at(graph.pods, path.pod);
    return {
      path,
      source,
      map,
      pod: { index: path.pod, name, node: at(graph.nodes, node), account: at(graph.accounts, account) },
    };
  });
}

/** "namespace/name". */
export function accountName(account: GraphAccount): string {
  return account === null ? 'not known yet' : `${account.namespace}/${account.name}`;
}

/** The pods of paths. */
export function podsOf(graph: Graph, paths: readonly number[]): ReadonlySet<number> {
  return new Set(paths.flatMap((path) => graph.paths[path]?.pod ?? []));
}

/** An element that is there. */
export function at<T>(all: readonly T[], index: number): T {
  const found = all[index];
  if (found === undefined) throw new RangeError(`The data of this page has no element ${index} in a list.`);
  return found;
}
