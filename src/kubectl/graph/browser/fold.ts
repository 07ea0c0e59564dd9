import type { Graph } from '../graph.ts';
import type { Choice } from './choice.ts';
import { namesOf, podsOf } from './names.ts';

/** With more service accounts, those of a namespace are one box. */
const MAX_ACCOUNTS = 40;
/** With more pods, those of a service account are one box. */
const MAX_PODS = 12;

/** A box that a path goes through. */
export interface Stop {
  readonly key: string;
  readonly column: number;
  /** The key of the group that the box shows as one; null: it stands for one thing. */
  readonly group: string | null;
  readonly path: number;
}

/** The boxes that each path goes through, from left to right. */
export function stopsOf(
  graph: Graph,
  paths: readonly number[],
  { groups, open }: Choice,
): readonly (readonly Stop[])[] {
  const pods = podsOf(graph, paths);
  const ofAccounts = Map.groupBy(pods, (pod) => graph.pods[pod]?.account);
  const isOpen = (key: string, hasRoom: boolean) =>
    open.has(key) || groups === 'open' || (groups === 'auto' && hasRoom);

  return namesOf(graph, paths).map(({ path, map, pod }, index): readonly Stop[] => {
    const at = (column: number, key: string, group: string | null = null) => {
      return { key, column, group, path: paths[index] ?? -1 };
    };
    const left = [at(0, `source ${map.source}`), at(1, `map ${path.map}`)];
    if (!pod) return left;
    const account = graph.pods[pod.index]?.account;
    const namespace = `namespace ${pod.account?.namespace}`;
    if (pod.account && !isOpen(namespace, ofAccounts.size <= MAX_ACCOUNTS))
      return [...left, at(2, namespace, namespace), at(3, `pods of ${namespace}`, namespace)];
    const group = `pods of account ${account}`;
    const isPod = ofAccounts.get(account)?.length === 1 || isOpen(group, pods.size <= MAX_PODS);
    return [...left, at(2, `account ${account}`), isPod ? at(3, `pod ${pod.index}`) : at(3, group, group)];
  });
}
