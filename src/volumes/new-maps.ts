import * as z from 'zod/mini';
import { invalidArgument } from '../errors.ts';
import { parseDocuments } from '../manifest/manifest.ts';
import { completeDefinition, mapDefinitionFields } from '../maps/map-definition-schema.ts';
import { FILE_NAME, FILE_NAME_RULE } from '../maps/names.ts';
import type { NewMap } from './volume.ts';

/** Maps in a volume. */
const MAX_MAPS = 256;
/** Several times what as many definitions need. */
const MAX_TEXT_BYTES = 64 << 10;
/** Problems that an error lists. */
const MAX_PROBLEMS = 4;

const name = z.string().check(z.regex(FILE_NAME, FILE_NAME_RULE));

const newMapSchema = z.pipe(
  z.strictObject({ name, ...mapDefinitionFields }),
  z.transform(({ name, ...definition }, payload): NewMap => ({ name, ...completeDefinition(definition, payload) })),
);

const count = `must have 1 to ${MAX_MAPS} maps`;
const newMapsSchema = z.array(newMapSchema).check(z.minLength(1, count), z.maxLength(MAX_MAPS, count));

/**
 * Parses the StorageClass parameter newMaps: a YAML list of map definitions, each with its file name. Throws INVALID_ARGUMENT with the
 * first few problems, as "LINE:COLUMN: path: problem".
 */
export function parseNewMaps(text: string): readonly NewMap[] {
  const size = Buffer.byteLength(text);
  if (size > MAX_TEXT_BYTES)
    throw invalidArgument('parameters.newMaps', `must have at most ${MAX_TEXT_BYTES} bytes, has ${size}`);
  const { manifests, problems: faults } = parseDocuments(text, '', newMapsSchema, { aliases: false });
  const [list, second] = manifests;
  const problems = [...faults];
  if (second !== undefined) problems.push(second.problem([], 'a second YAML document; one list is all there is'));
  if (list !== undefined) {
    const first = new Map<string, string>();
    for (const [index, { name }] of list.value.entries()) {
      const path = [index, 'name'];
      const before = first.get(name);
      if (before === undefined) first.set(name, list.at(path));
      else problems.push(list.problem(path, `"${name}" is there already, at ${before}`));
    }
  }
  if (problems.length > 0) throw invalidArgument('parameters.newMaps', inShort(problems));
  if (list === undefined)
    throw invalidArgument('parameters.newMaps', 'must be a YAML list of map definitions, and is empty');
  return list.value;
}

function inShort(problems: readonly string[]): string {
  const rest = problems.length - MAX_PROBLEMS;
  const cut = (problem: string) => (problem.length > 256 ? `${problem.slice(0, 256)}…` : problem);
  const text = problems.slice(0, MAX_PROBLEMS).map(cut).join('; ');
  return rest > 0 ? `${text}; and ${rest} more` : text;
}
