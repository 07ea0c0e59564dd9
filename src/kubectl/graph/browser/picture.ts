import type { Box } from './box.ts';
import { html, svg } from './dom.ts';
import { counted } from './format.ts';
import type { Curve, Layout, Place } from './layout.ts';
import { COLUMNS, type Edge, type View } from './view.ts';

/** A picture that is drawn, and what its elements show. */
export interface Picture {
  readonly element: HTMLElement;
  readonly parts: ReadonlyMap<Element, Box | Edge>;
}

/** Draws boxes as buttons above the edges. Each part can be focused, the boxes first. */
export function drawn({ columns, edges }: View, { height, places, curves }: Layout, width: number): Picture {
  const parts = new Map<Element, Box | Edge>();
  const element = html('div', { class: 'drawing' });
  element.style.height = `${height}px`;
  for (const box of columns.flatMap((column) => column.toSorted((a, b) => top(places, a) - top(places, b)))) {
    const button = boxButton(box, places.get(box));
    parts.set(button, box);
    element.append(button);
  }
  const lines = svg('svg', {
    class: edges.length > MANY ? 'edges dense' : 'edges',
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
  });
  const markers: SVGElement[] = [];
  const taken: Point[] = [];
  for (const edge of edges) {
    const curve = curves.get(edge);
    if (!curve) continue;
    const group = edgeGroup(edge, curve);
    parts.set(group, edge);
    lines.append(group);
    if (edge.kind !== 'refused' && edge.kind !== 'replaced') continue;
    const marker = markerOf(edge, curve, taken);
    parts.set(marker, edge);
    markers.push(marker);
  }
  lines.append(...markers);
  element.append(lines);
  return { element, parts };
}

/** With more edges, they are drawn lighter. */
const MANY = 150;
const MARKS = { refused: '✕', replaced: '↻' } as const;

const top = (places: Layout['places'], box: Box) => places.get(box)?.y ?? 0;

function boxButton(box: Box, place: Place | undefined): HTMLButtonElement {
  const { name, detail, column, group, refused, replaced, pods } = box;
  const marks = [refused > 0 && counted(refused, 'refusal'), replaced > 0 && counted(replaced, 'replaced map')];
  const title = column === 3 && group ? name : `${COLUMNS[column]} ${name}`;
  const spoken = [title, detail, column < 3 && counted(pods, 'pod'), ...marks, group && 'click to open'];
  const kind = refused > 0 && refused === box.paths.length ? 'box only-refused' : 'box';
  const button = html(
    'button',
    {
      type: 'button',
      class: group ? `${kind} group` : kind,
      title: name,
      'aria-label': spoken.filter(Boolean).join(', '),
    },
    html('span', { class: 'name' }, ...ends(name)),
    html(
      'span',
      { class: 'detail' },
      html('span', { class: 'what' }, detail),
      ...mark('refused', refused),
      ...mark('replaced', replaced),
    ),
  );
  if (group) button.setAttribute('aria-expanded', 'false');
  const { x = 0, y = 0, width = 0, height = 0 } = place ?? {};
  Object.assign(button.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
  return button;
}

/**
 * A name of which the middle is left out if it does not fit: paths, and the names of pods, differ at their ends. The last word is short
 * in most names.
 */
function ends(name: string): readonly HTMLElement[] {
  const tail = /[/ -][^/ -]{2,12}$/u.exec(name)?.[0] ?? '';
  const head = name.slice(0, name.length - tail.length);
  return [html('span', { class: 'head' }, head), html('span', { class: 'tail' }, tail)];
}

function mark(kind: keyof typeof MARKS, count: number): readonly HTMLElement[] {
  return count === 0 ? [] : [html('b', { class: kind }, `${MARKS[kind]} ${count}`)];
}

/** The line, and a wider one that nobody sees, to point at. */
function edgeGroup({ from, to, kind, pods }: Edge, { x1, y1, x2, y2, width }: Curve): SVGGElement {
  const middle = (x1 + x2) / 2;
  const d = `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
  const label = `${from.name} to ${to.name}, ${kind === 'plain' ? '' : `${kind}, `}${counted(pods, 'pod')}`;
  return svg(
    'g',
    { class: 'edge', tabindex: 0, role: 'button', 'aria-label': label },
    svg('path', { class: 'hit', d, 'stroke-width': Math.max(12, width + 4) }),
    svg('path', { class: `line ${kind}`, d, 'stroke-width': width }),
  );
}

interface Point {
  readonly x: number;
  readonly y: number;
}

/** The mark of an edge, on its curve, where no other is; `taken` gets its place. */
function markerOf({ kind }: Edge, { x1, y1, x2, y2 }: Curve, taken: Point[]): SVGElement {
  const at = (t: number): Point => {
    const [near, far] = [(1 - t) ** 3 + 3 * (1 - t) ** 2 * t, t ** 3 + 3 * (1 - t) * t ** 2];
    const bend = ((1 - t) ** 3 + 1.5 * (1 - t) * t) * x1 + (t ** 3 + 1.5 * (1 - t) * t) * x2;
    return { x: bend, y: near * y1 + far * y2 };
  };
  const isFree = (point: Point) => taken.every(({ x, y }) => Math.hypot(x - point.x, y - point.y) > 16);
  const point = [0.5, 0.35, 0.65, 0.2, 0.8].map(at).find(isFree) ?? at(0.5);
  taken.push(point);
  const text = kind === 'refused' ? MARKS.refused : MARKS.replaced;
  return svg('text', { class: `marker ${kind}`, x: point.x, y: point.y, 'aria-hidden': 'true' }, text);
}
