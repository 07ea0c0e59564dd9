import type { Graph } from '../graph.ts';
import { type Choice, EVERYTHING } from './choice.ts';
import { found, html } from './dom.ts';
import { moment } from './format.ts';
import { notesOf, totalsOf } from './header.ts';
import { layoutOf } from './layout.ts';
import { numbersOf } from './panel.ts';
import { drawn, type Picture } from './picture.ts';
import { createSelection } from './selection.ts';
import { tableOf } from './table.ts';
import { COLUMNS, viewOf } from './view.ts';

const graph: Graph = JSON.parse(found('graph').textContent ?? '');
const stage = found('picture');
let choice = EVERYTHING;

const setPicture = createSelection(stage, {
  select(part, isPinned) {
    const hint = isPinned
      ? 'Pinned. Click it again, or press Escape, to release it.'
      : 'Click to pin what you point at.';
    const help = 'Point at a box or a line to see its numbers, and everything on its paths.';
    found('panel').replaceChildren(...(part ? numbersOf(graph, part) : []), html('p', {}, part ? hint : help));
    found('panel').classList.toggle('empty', part === undefined);
  },
  open(group) {
    choose({ open: new Set([...choice.open, group.group ?? '']) });
    const first = [...shown.parts].find(
      ([, part]) =>
        'column' in part && part.column === group.column && part.paths.some((path) => group.paths.includes(path)),
    );
    if (first?.[0] instanceof HTMLElement) first[0].focus();
  },
});

let shown: Picture;
draw();

/** Draws what is chosen, in the width that there is. */
function draw() {
  const view = viewOf(graph, choice);
  const width = stage.clientWidth;
  shown = drawn(view, layoutOf(view, width), width);
  const nothing = graph.paths.length > 0 ? 'Nothing matches.' : 'There is no BpfMap, and no pod has a map.';
  stage.replaceChildren(view.paths.length > 0 ? shown.element : html('p', {}, nothing));
  found('totals').replaceChildren(...totalsOf(graph, view.paths));
  found('table').replaceChildren(...tableOf(graph, view.paths));
  setPicture(shown);
}

function choose(change: Partial<Choice>) {
  choice = { ...choice, ...change };
  draw();
}

found('cluster').replaceChildren(graph.cluster);
found('time').replaceChildren(`as of ${moment(graph.time)}`);
found('notes').replaceChildren(...notesOf(graph));
found('heads').replaceChildren(...COLUMNS.map((title) => html('span', {}, `${title}s`)));
const nodes = graph.nodes.map(({ name }, index) => html('option', { value: index }, name));
found('node').replaceChildren(html('option', { value: '' }, 'all nodes'), ...nodes);

found<HTMLInputElement>('text').addEventListener('input', ({ target }) =>
  choose({ text: (target as HTMLInputElement).value }),
);
found<HTMLSelectElement>('node').addEventListener('change', ({ target }) => {
  const { value } = target as HTMLSelectElement;
  choose({ node: value === '' ? null : Number(value) });
});
found('expand').addEventListener('click', () => choose({ groups: 'open' }));
found('collapse').addEventListener('click', () => choose({ groups: 'closed', open: new Set() }));
let width = stage.clientWidth;
new ResizeObserver(() => {
  if (width !== stage.clientWidth) draw();
  width = stage.clientWidth;
}).observe(stage);
