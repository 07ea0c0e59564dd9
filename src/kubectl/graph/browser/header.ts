import type { Graph } from '../graph.ts';
import { kernelMapsOf, memoryOf } from './box.ts';
import { html } from './dom.ts';
import { bytes, counted, number } from './format.ts';
import { namesOf, podsOf } from './names.ts';

/** Totals of these paths, as terms and values. */
export function totalsOf(graph: Graph, paths: readonly number[]): readonly HTMLElement[] {
  const names = namesOf(graph, paths);
  const kernelMaps = kernelMapsOf(graph, names);
  const answered = graph.nodes.filter((node) => node.answered).length;
  const totals = [
    ['Pods', number(podsOf(graph, paths).size)],
    ['Service accounts', number(new Set(names.flatMap(({ pod }) => pod?.account ?? [])).size)],
    ['Maps', number(new Set(names.map(({ path }) => path.map)).size)],
    ['Maps in kernels', number(kernelMaps.length)],
    ['Kernel memory', bytes(memoryOf(kernelMaps))],
    ['Nodes that answered', `${number(answered)} of ${number(graph.nodes.length)}`],
    ['✕ Refused', number(names.filter(({ path }) => path.refused).length)],
    ['↻ Replaced', number(names.filter(({ path }) => path.replaced).length)],
  ] as const;
  return totals.map(([term, value]) => html('div', {}, html('dt', {}, term), html('dd', {}, value)));
}

/** What is missing on the page, and why. */
export function notesOf({ nodes, leftOut }: Graph): readonly HTMLElement[] {
  const silent = nodes.filter(({ answered }) => !answered).length;
  const errors = nodes.flatMap(({ name, error }) => (error === null ? [] : html('li', {}, `${name}: ${error}`)));
  const missing = [
    leftOut.volumes && counted(leftOut.volumes, 'volume'),
    leftOut.files && counted(leftOut.files, 'file'),
    leftOut.refusals && counted(leftOut.refusals, 'refusal'),
  ].filter((text) => text !== 0);
  const title = silent > 0 ? `${counted(silent, 'node')} did not answer` : `${counted(errors.length, 'error')}`;
  return [
    ...(errors.length > 0
      ? [html('li', {}, html('details', {}, html('summary', {}, title), html('ul', {}, ...errors)))]
      : []),
    ...(missing.length > 0 ? [html('li', {}, `Not shown, because there are too many: ${missing.join(', ')}`)] : []),
  ];
}
