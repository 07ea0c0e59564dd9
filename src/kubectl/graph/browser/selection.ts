import type { Box } from './box.ts';
import type { Picture } from './picture.ts';
import type { Edge } from './view.ts';

/** What to do when a reader selects something. */
export interface SelectionEvents {
  /** `part`: what is pinned, pointed at or focused, the first of these. */
  select(part: Box | Edge | undefined, isPinned: boolean): void;
  /** A group was clicked. */
  open(group: Box): void;
}

/**
 * Selects parts of the picture in `stage` by pointer and keyboard, and marks everything on their paths with the class "on". Returns what to
 * call with each new picture: what was pinned stays pinned if it is still there.
 */
export function createSelection(stage: HTMLElement, { select, open }: SelectionEvents): (next: Picture) => void {
  let parts: Picture['parts'] = new Map();
  let pinned: Box | Edge | undefined;
  let pointed: Box | Edge | undefined;
  let focused: Box | Edge | undefined;

  const partOf = ({ target }: Event) =>
    target instanceof Element ? parts.get(target.closest('.box, .edge, .marker') ?? stage) : undefined;
  const update = () => {
    const part = pinned ?? pointed ?? focused;
    const on = new Set(part?.paths);
    stage.classList.toggle('selected', part !== undefined);
    for (const [element, { key, paths }] of parts) {
      element.classList.toggle(
        'on',
        paths.some((path) => on.has(path)),
      );
      element.classList.toggle('pinned', key === pinned?.key);
      if (!element.classList.contains('group')) element.setAttribute('aria-pressed', `${key === pinned?.key}`);
    }
    select(part, pinned !== undefined);
  };
  const pin = (part: Box | Edge | undefined) => {
    pinned = part?.key === pinned?.key ? undefined : part;
    update();
  };

  stage.addEventListener('pointerover', (event) => {
    pointed = partOf(event);
    update();
  });
  stage.addEventListener('pointerleave', () => {
    pointed = undefined;
    update();
  });
  stage.addEventListener('focusin', (event) => {
    focused = partOf(event);
    update();
  });
  stage.addEventListener('focusout', () => {
    focused = undefined;
    update();
  });
  stage.addEventListener('click', (event) => {
    const part = partOf(event);
    if (part && 'group' in part && part.group) open(part);
    else pin(part);
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') pin(undefined);
    // What buttons do by themselves.
    if (!(event.target instanceof SVGElement) || (event.key !== 'Enter' && event.key !== ' ')) return;
    event.preventDefault();
    pin(partOf(event));
  });

  return (next) => {
    parts = next.parts;
    [pointed, focused] = [undefined, undefined];
    pinned = [...parts.values()].find(({ key }) => key === pinned?.key);
    update();
  };
}
