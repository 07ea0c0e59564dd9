import type { Graph, KernelMap } from '../graph.ts';
import type { Stop } from './fold.ts';
import { bytes, counted, few } from './format.ts';
import { at, type Names, namesOf } from './names.ts';

/** Anything to point at. */
export interface Part {
  readonly key: string;
  /** The paths through it, as indices into those of the graph. */
  readonly paths: readonly number[];
  /** How many pods these paths lead to. */
  readonly pods: number;
}

/** A box of a column. */
export interface Box extends Part {
  readonly column: number;
  readonly name: string;
  readonly detail: string;
  /** The key of the group that it shows as one; null: it stands for one thing. */
  readonly group: string | null;
  readonly refused: number;
  readonly replaced: number;
}

/** The box at which these paths stop. */
export function boxOf(graph: Graph, stops: readonly Stop[]): Box {
  const { key, column, group } = at(stops, 0);
  const paths = stops.map(({ path }) => path);
  const names = namesOf(graph, paths);
  const pods = new Set(names.flatMap(({ pod }) => pod?.index ?? [])).size;
  return {
    key,
    column,
    group,
    paths,
    pods,
    ...(LABELS[column] ?? podLabel)({ graph, names, pods, isGroup: group !== null }),
    refused: names.filter(({ path }) => path.refused).length,
    replaced: names.filter(({ path }) => path.replaced).length,
  };
}

/** The kernel maps of paths, each once. */
export function kernelMapsOf(graph: Graph, names: readonly Names[]): readonly KernelMap[] {
  return [...new Set(names.flatMap(({ path }) => path.kernelMaps))].map((index) => at(graph.kernelMaps, index));
}

/** The kernel memory of maps, in bytes. */
export const memoryOf = (maps: readonly KernelMap[]): number => maps.reduce((sum, map) => sum + map.memoryBytes, 0);

interface Content {
  readonly graph: Graph;
  readonly names: readonly Names[];
  readonly pods: number;
  readonly isGroup: boolean;
}
type Label = Pick<Box, 'name' | 'detail'>;

const LABELS = [sourceLabel, mapLabel, accountLabel, podLabel];

function sourceLabel({ names }: Content): Label {
  return { name: at(names, 0).source, detail: counted(new Set(names.map(({ path }) => path.map)).size, 'map') };
}

function mapLabel({ graph, names, pods }: Content): Label {
  const { name, type } = at(names, 0).map;
  const maps = kernelMapsOf(graph, names);
  const types = few([...new Set(maps.map((map) => map.type))], 1);
  const what = type === 'BpfMap' ? types : counted(maps.length, 'map');
  if (maps.length > 0) return { name, detail: `${what} · ${bytes(memoryOf(maps))}` };
  return { name, detail: pods === 0 ? 'not used' : 'no map' };
}

function accountLabel({ names, isGroup }: Content): Label {
  const { account = null } = at(names, 0).pod ?? {};
  if (account === null) return { name: 'not known yet', detail: '' };
  if (!isGroup) return { name: account.name, detail: account.namespace };
  const accounts = new Set(names.map(({ pod }) => pod?.account));
  return { name: account.namespace, detail: counted(accounts.size, 'service account') };
}

function podLabel({ names, pods, isGroup }: Content): Label {
  const { name = '' } = at(names, 0).pod ?? {};
  const nodes = [...new Set(names.flatMap(({ pod }) => pod?.node.name ?? []))];
  const where = nodes.length === 1 ? at(nodes, 0) : counted(nodes.length, 'node');
  return { name: isGroup ? counted(pods, 'pod') : name, detail: where };
}
