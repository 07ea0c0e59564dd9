/** Of a zod issue: keys, and indices of lists. */
export type Path = readonly (string | number)[];

/** What stands before the text of a problem: "spec.maps[0].name: ", or nothing for the object as a whole. */
export function pathPrefix(path: readonly PropertyKey[]): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return text === '' ? '' : `${text.replace(/^\./, '')}: `;
}
