import type { Graph, KernelMap } from '../graph.ts';
import { type Box, kernelMapsOf, memoryOf } from './box.ts';
import { html } from './dom.ts';
import { bytes, counted, few, moment, number } from './format.ts';
import { accountName, at, type Names, namesOf } from './names.ts';
import { refusedText } from './refused-text.ts';
import { COLUMNS, type Edge } from './view.ts';

/** Lines of a list that the panel shows; the table has all. */
const MOST = 6;

/** The numbers of a part. */
export function numbersOf(graph: Graph, part: Box | Edge): readonly HTMLElement[] {
  const names = namesOf(graph, part.paths);
  const title = 'from' in part ? `${part.from.name} → ${part.to.name}` : part.name;
  const rows = rowsOf(names, kernelMapsOf(graph, names)).filter(([, value]) => value !== '' && value !== title);
  return [
    html('h2', {}, html('small', {}, kindOf(part, names)), title),
    html('dl', {}, ...rows.flatMap(([term, value]) => [html('dt', {}, term), html('dd', {}, value)])),
    ...list('✕ Refused', refusals(names)),
    ...list('↻ Replaced', replacements(names)),
    ...list('In the kernel', shapes(graph, names)),
  ];
}

const TYPES = { BpfMap: 'BpfMap', shared: 'Shared volume', workspace: 'Workspace', volume: 'Volume' } as const;

function kindOf(part: Box | Edge, names: readonly Names[]): string {
  if ('from' in part) return part.kind === 'plain' ? 'Line' : `Line: ${part.kind}`;
  if (part.group) return `${COLUMNS[part.column]}s, click to open`;
  return part.column === 1 ? TYPES[at(names, 0).map.type] : `${COLUMNS[part.column]}`;
}

type Row = readonly [string, string];

function rowsOf(names: readonly Names[], maps: readonly KernelMap[]): readonly Row[] {
  const held = names.filter(({ path }) => path.access !== null);
  const since = held.flatMap(({ path }) => path.since ?? []).sort();
  const [first = '', last = ''] = [since.at(0), since.at(-1)];
  const pods = distinct(names.flatMap(({ pod }) => pod?.index ?? []));
  const podsWith = (access: 'read' | 'write') => {
    const count = distinct(held.filter(({ path }) => path.access === access).map(({ pod }) => pod?.index)).length;
    return count > 0 ? [pods.length === 1 ? access : `${access}: ${counted(count, 'pod')}`] : [];
  };
  const limits = distinct(names.flatMap(({ map }) => map.maxAccess ?? []));
  return [
    oneOrCount('Source', names, ({ source }) => source),
    oneOrCount('Map', names, ({ map }) => map.name),
    oneOrCount('Service account', names, ({ pod }) => pod && accountName(pod.account)),
    pods.length === 1 ? oneOrCount('Pod', names, ({ pod }) => pod?.name) : ['Pods', number(pods.length)],
    oneOrCount('Node', names, ({ pod }) => pod?.node.name),
    ['Access', [...podsWith('read'), ...podsWith('write')].join(', ') || 'none'],
    ['Access at most', limits.length === 1 ? few(limits) : ''],
    ['Since', first === last ? moment(first) : `${moment(first)} to ${moment(last)}`],
    ['Kernel memory', maps.length > 0 ? `${bytes(memoryOf(maps))} in ${counted(maps.length, 'map')}` : ''],
  ];
}

function distinct<T>(all: readonly T[]): readonly T[] {
  return [...new Set(all)];
}

function oneOrCount(term: string, names: readonly Names[], of: (names: Names) => string | undefined): Row {
  const values = distinct(names.flatMap((one) => of(one) ?? []));
  return values.length > 1 ? [`${term}s`, number(values.length)] : [term, few(values)];
}

function refusals(names: readonly Names[]): readonly string[] {
  return names.flatMap(({ path, map, pod }) => {
    if (!path.refused) return [];
    return `${map.name} to ${pod ? `${accountName(pod.account)}, pod ${pod.name}` : ''}:\n${refusedText(path.refused)}`;
  });
}

/** The same text of many pods is one element. */
function replacements(names: readonly Names[]): readonly string[] {
  const replaced = names.filter(({ path }) => path.replaced !== null);
  return [...Map.groupBy(replaced, ({ path, map }) => `${map.name}: ${path.replaced}`)].map(
    ([text, all]) => `${text} (${few(distinct(all.map(({ pod }) => pod?.name ?? '')), 2)})`,
  );
}

/** Maps of one BpfMap are alike on all nodes, as a rule. */
function shapes(graph: Graph, names: readonly Names[]): readonly string[] {
  const alike = Map.groupBy(kernelMapsOf(graph, names), shapeText);
  return [...alike].map(([shape, maps]) => {
    const each = maps.map(({ id, node, memoryBytes }) => {
      return `id ${id} on ${at(graph.nodes, node).name}, ${bytes(memoryBytes)}`;
    });
    return [shape, ...upTo(each)].join('\n');
  });
}

const shapeText = ({ name, type, keySize, valueSize, maxEntries }: KernelMap) =>
  `${name}, ${type}, key ${bytes(keySize)}, value ${bytes(valueSize)}, ${number(maxEntries)} entries`;

function list(title: string, texts: readonly string[]): readonly HTMLElement[] {
  if (texts.length === 0) return [];
  return [html('h3', {}, title), html('ul', {}, ...upTo(texts).map((text) => html('li', {}, text)))];
}

function upTo(texts: readonly string[]): readonly string[] {
  const more = texts.length - MOST;
  return more > 0 ? [...texts.slice(0, MOST), `and ${number(more)} more`] : texts;
}
