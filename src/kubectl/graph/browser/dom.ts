type Attributes = Readonly<Record<string, string | number | boolean>>;
type Child = Node | string;

/** An HTML element. Strings become text, never markup: the names in a graph are not to be trusted. An attribute of `false` is left out. */
export function html<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  return filled(document.createElement(tag), attributes, children);
}

/** As html, for an SVG element. */
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[Tag] {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

/** The element of the page with this id. */
export function found<T extends Element = HTMLElement>(id: string): T {
  const element = document.getElementById(id) as T | null;
  if (element === null) throw new Error(`The page has no element "${id}".`);
  return element;
}

function filled<T extends Element>(element: T, attributes: Attributes, children: readonly Child[]): T {
  for (const [name, value] of Object.entries(attributes))
    if (value !== false) element.setAttribute(name, value === true ? '' : String(value));
  element.append(...children);
  return element;
}
