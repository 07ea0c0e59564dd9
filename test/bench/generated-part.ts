import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where all measurements are shown. */
const DOCUMENT = join(import.meta.dirname, '../../docs/scale.md');

/** Replaces the part of docs/scale.md with this name. */
export async function writeGeneratedPart(name: string, content: string): Promise<void> {
  await writeFile(DOCUMENT, withGeneratedPart(await readFile(DOCUMENT, 'utf8'), name, content));
}

/** Replaces what is between the two markers of a generated part. Throws if the text does not have each once, in order. */
export function withGeneratedPart(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`];
  const [before, rest, ...more] = text.split(begin);
  const [, after, ...others] = rest?.split(end) ?? [];
  if (before === undefined || after === undefined || more.length + others.length > 0) {
    throw new Error(`the text needs ${begin} and then ${end}, each once`);
  }
  return `${before}${begin}\n${content.trim()}\n${end}${after}`;
}
