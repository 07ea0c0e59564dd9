import type { Graph, GraphAccount, GraphMap, GraphPod, KernelMap, Path } from './graph.ts';
import { type NodeAnswer, type Use, usesOf } from './uses.ts';

/** What a cluster and its nodes told. */
export interface GraphInput {
  readonly cluster: string;
  /** When the nodes were asked, in RFC 3339. */
  readonly time: string;
  /** Undefined: the caller may not list them. */
  readonly bpfMaps: readonly CatalogedMap[] | undefined;
  readonly nodes: readonly NodeAnswer[];
}

/** A BpfMap of the cluster. */
export interface CatalogedMap {
  readonly name: string;
  /** A short text, such as "pinned /sys/fs/bpf/flows". */
  readonly source: string;
  readonly maxAccess: string;
}

/** Files, refusals and unused BpfMaps in a graph, at about 200 bytes each. */
const MAX_ENTRIES = 50_000;

/** Where the maps come from that no BpfMap names. */
const SOURCES = {
  shared: 'shared volume',
  workspace: 'workspace',
  volume: 'not known yet',
} as const;

/** Joins the answers of all nodes; see usesOf. `maxEntries`: what is beyond is counted as left out. */
export function toGraph({ cluster, time, bpfMaps, nodes }: GraphInput, maxEntries = MAX_ENTRIES): Graph {
  const catalog = new Map(bpfMaps?.map((bpfMap) => [bpfMap.name, bpfMap]));
  const noBpfMap = bpfMaps === undefined ? 'not known: you may not list BpfMaps' : 'no such BpfMap';
  const sources = list<string>();
  const maps = list<GraphMap>();
  const accounts = list<GraphAccount>();
  const pods = list<GraphPod>();
  const kernelMaps = list<KernelMap>();
  const paths: Path[] = [];
  const leftOut = { volumes: 0, files: 0, refusals: 0 };
  let entries = 0;

  const mapOf = ({ id, name, type }: Use['map']) =>
    maps.index([type, id], () => {
      const known = type === 'BpfMap' ? catalog.get(name) : undefined;
      const source = type === 'BpfMap' ? (known?.source ?? noBpfMap) : SOURCES[type];
      return { name, type, source: sources.index([source], () => source), maxAccess: known?.maxAccess ?? null };
    });
  const add = (node: number, { map, pod: name, account: owner, files, ...rest }: Use) => {
    const size = Math.max(1, files.length);
    if (entries + size > maxEntries) {
      leftOut[rest.refused ? 'refusals' : 'files'] += size;
      return;
    }
    entries += size;
    const account = accounts.index([owner?.namespace, owner?.name], () => owner);
    const pod = pods.index([node, account, name], () => ({ name, account, node }));
    const ofFiles = files.map((file) => kernelMaps.index([node, file.map.id], () => ({ ...file.map, node })));
    paths.push({ map: mapOf(map), pod, kernelMaps: [...new Set(ofFiles)], ...rest });
  };

  for (const [node, answer] of nodes.entries()) {
    for (const use of usesOf(answer)) add(node, use);
    for (const { filesLeftOut } of answer.volumes?.volumes ?? []) leftOut.files += filesLeftOut;
    leftOut.volumes += answer.volumes?.volumesLeftOut ?? 0;
    leftOut.refusals += answer.denials?.denialsLeftOut ?? 0;
  }
  const used = new Set(maps.all.filter(({ type }) => type === 'BpfMap').map(({ name }) => name));
  for (const { name } of [...catalog.values()]
    .filter((bpfMap) => !used.has(bpfMap.name))
    .slice(0, maxEntries - entries))
    paths.push({ ...UNUSED, map: mapOf({ id: name, name, type: 'BpfMap' }) });
  return {
    cluster,
    time,
    nodes: nodes.map(({ node, volumes, error }) => ({
      name: node,
      answered: volumes !== undefined,
      error: error ?? null,
    })),
    sources: sources.all,
    maps: maps.all,
    accounts: accounts.all,
    pods: pods.all,
    kernelMaps: kernelMaps.all,
    paths,
    leftOut,
  };
}

const UNUSED = { pod: null, kernelMaps: [], access: null, since: null, replaced: null, refused: null } as const;

/** A list without duplicates: `index` finds the element with this key, or adds it. */
function list<T>() {
  const all: T[] = [];
  const indices = new Map<string, number>();
  return {
    all: all as readonly T[],
    index(key: readonly unknown[], make: () => T): number {
      const text = JSON.stringify(key);
      const index = indices.get(text) ?? all.push(make()) - 1;
      indices.set(text, index);
      return index;
    },
  };
}
