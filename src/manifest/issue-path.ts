/** The path of a zod issue: keys, and indices of lists. */
export type Path = readonly (string | number)[];

/** The beginning of a problem's text: "spec.maps[0].name: ", or empty for the object as a whole. */
export function pathPrefix(path: readonly PropertyKey[]): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return text === '' ? '' : `${text.replace(/^\./, '')}: `;
}
