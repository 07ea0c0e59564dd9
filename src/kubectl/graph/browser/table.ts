import type { Graph, KernelMap } from '../graph.ts';
import { kernelMapsOf, memoryOf } from './box.ts';
import { html } from './dom.ts';
import { bytes, counted, few, moment, number } from './format.ts';
import { accountName, type Names, namesOf } from './names.ts';
import { refusedText } from './refused-text.ts';

/** Rows that are shown at first: thousands take seconds on a phone. */
const FIRST = 200;

/** The column heads, and what a row has below. */
const CELLS: readonly (readonly [string, (row: Row) => string])[] = [
  ['Source', ({ names }) => names.source],
  ['Map', ({ names }) => names.map.name],
  ['Service account', ({ names }) => (names.pod ? accountName(names.pod.account) : '')],
  ['Pod', ({ names }) => names.pod?.name ?? ''],
  ['Node', ({ names }) => names.pod?.node.name ?? ''],
  ['Access', ({ names: { path } }) => (path.refused ? '✕ refused' : (path.access ?? 'none'))],
  ['Since', ({ names: { path } }) => moment(path.since ?? '')],
  ['Map id', ({ maps }) => few(maps.map(({ id }) => `${id}`))],
  ['Type', ({ maps }) => alike(maps, ({ type }) => type)],
  ['Key', ({ maps }) => alike(maps, ({ keySize }) => bytes(keySize))],
  ['Value', ({ maps }) => alike(maps, ({ valueSize }) => bytes(valueSize))],
  ['Entries', ({ maps }) => alike(maps, ({ maxEntries }) => number(maxEntries))],
  ['Memory', ({ maps }) => (maps.length > 0 ? bytes(memoryOf(maps)) : '')],
  ['Remark', ({ names }) => remark(names)],
];

interface Row {
  readonly names: Names;
  readonly maps: readonly KernelMap[];
}

/** A row for each path. With more than fit at first, a button shows the others. */
export function tableOf(graph: Graph, paths: readonly number[]): readonly HTMLElement[] {
  const head = html('tr', {}, ...CELLS.map(([title]) => html('th', { scope: 'col' }, title)));
  const body = html('tbody', {}, ...rowsOf(graph, paths.slice(0, FIRST)));
  const rest = paths.slice(FIRST);
  const more = html(
    'button',
    { type: 'button', id: 'more', hidden: rest.length === 0 },
    `Show ${counted(rest.length, 'more row')}`,
  );
  more.addEventListener('click', () => {
    body.append(...rowsOf(graph, rest));
    more.remove();
  });
  const table = html('table', {}, html('thead', {}, head), body);
  return [html('h2', {}, counted(paths.length, 'row')), html('div', { class: 'wide', tabindex: 0 }, table), more];
}

function rowsOf(graph: Graph, paths: readonly number[]): readonly HTMLElement[] {
  return namesOf(graph, paths).map((names) => {
    const row: Row = { names, maps: kernelMapsOf(graph, [names]) };
    const kind = names.path.refused ? 'refused' : names.path.replaced ? 'replaced' : '';
    return html('tr', { class: kind }, ...CELLS.map(([, cell]) => html('td', {}, cell(row))));
  });
}

function remark({ path, pod }: Names): string {
  if (path.refused) return refusedText(path.refused);
  if (path.replaced) return `↻ replaced: ${path.replaced}`;
  return pod ? '' : 'not used';
}

/** What the maps have in common, or "various". */
function alike(maps: readonly KernelMap[], of: (map: KernelMap) => string): string {
  const values = [...new Set(maps.map(of))];
  return values.length > 1 ? 'various' : few(values);
}
