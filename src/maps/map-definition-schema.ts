import * as z from 'zod/mini';
import type { MapDefinition } from './map-definition.ts';
import { mapMemoryBytes } from './map-memory.ts';
import {
  MAP_FLAGS,
  MAP_TYPE_RULES,
  type MapFlag,
  type MapType,
  type MapTypeRules,
  type Numbers,
} from './map-type-rules.ts';

/** Bytes of one map: 64 GiB. The limit for all maps of a node is the pinner's (--created-memory-max). */
const MAX_MEMORY_BYTES = 2 ** 36;

const types = Object.keys(MAP_TYPE_RULES) as MapType[];
const innerTypes = types.filter((type) => !rulesOf(type).ofMaps);
const wholeNumber = z.optional(z.number().check(z.refine(Number.isInteger, 'must be a whole number')));

function fields(allowed: readonly MapType[]) {
  return {
    type: z.enum(allowed),
    keySize: wholeNumber,
    valueSize: wholeNumber,
    maxEntries: wholeNumber,
    flags: z.optional(z.array(z.enum(Object.keys(MAP_FLAGS) as MapFlag[]))),
  };
}

/** The fields of a definition as its author writes it, for schemas with further fields; to be followed by completeDefinition. */
export const mapDefinitionFields = { ...fields(types), inner: z.optional(z.strictObject(fields(innerTypes))) };

const rawDefinition = z.strictObject(mapDefinitionFields);

/** As its author writes it: sizes that the type determines may be omitted. */
type RawMapDefinition = z.infer<typeof rawDefinition>;

/** Yields a MapDefinition, or issues that name the field and what the type allows. */
export const mapDefinitionSchema = z.pipe(rawDefinition, z.transform(completeDefinition));

/** Fills in the sizes that the type determines, and adds an issue to `payload` for everything that the kernel would refuse. */
export function completeDefinition(raw: RawMapDefinition, payload: z.core.ParsePayload): MapDefinition {
  const definition = complete(raw);
  const problems = problemsOf(definition);
  if (definition.inner !== undefined) {
    problems.push(...problemsOf(definition.inner).map(([path, text]): Problem => [['inner', ...path], text]));
  }
  for (const [path, message] of problems) {
    payload.issues.push({ code: 'custom', path: [...path], message, input: raw });
  }
  return definition;
}

function complete({ type, keySize, valueSize, maxEntries, flags = [], inner }: RawMapDefinition): MapDefinition {
  const rules = rulesOf(type);
  // NaN for a missing size, which no type allows.
  const definition = {
    type,
    keySize: keySize ?? defaultOf(rules.keySize),
    valueSize: valueSize ?? defaultOf(rules.valueSize),
    maxEntries: maxEntries ?? Number.NaN,
    flags,
  };
  return inner === undefined ? definition : { ...definition, inner: complete(inner) };
}

type Problem = readonly [path: readonly (string | number)[], text: string];

function problemsOf(definition: MapDefinition): Problem[] {
  const { type, keySize, valueSize, maxEntries, flags, inner } = definition;
  const rules = rulesOf(type);
  const problems: Problem[] = [];
  for (const field of ['keySize', 'valueSize', 'maxEntries'] as const) {
    if (takes(rules[field], definition[field])) continue;
    const must = Number.isNaN(definition[field]) ? 'required:' : 'must be';
    problems.push([[field], `${must} ${describe(rules[field])} for type ${type}`]);
  }
  const { elementSize } = rules;
  if (problems.length === 0 && elementSize !== undefined && keySize + valueSize > elementSize) {
    problems.push([['valueSize'], `keySize and valueSize together must be at most ${elementSize} for type ${type}`]);
  }
  if (problems.length === 0 && mapMemoryBytes(definition) > MAX_MEMORY_BYTES) {
    problems.push([
      ['maxEntries'],
      `${maxEntries} elements would take more than the 64 GiB that the driver makes a map of`,
    ]);
  }
  for (const [index, flag] of flags.entries()) {
    if (rules.flags.includes(flag)) continue;
    const allowed = rules.flags.length === 0 ? 'no flags' : `only ${rules.flags.join(', ')}`;
    problems.push([['flags', index], `type ${type} takes ${allowed}`]);
  }
  if (rules.needs !== undefined && !flags.includes(rules.needs)) {
    problems.push([['flags'], `the kernel makes no ${type} without ${rules.needs}: add it`]);
  }
  if (flags.includes('BPF_F_RDONLY_PROG') && flags.includes('BPF_F_WRONLY_PROG')) {
    problems.push([['flags'], 'BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG exclude each other']);
  }
  if (rules.ofMaps && inner === undefined) {
    problems.push([['inner'], `required for type ${type}: what the maps in it look like`]);
  }
  if (!rules.ofMaps && inner !== undefined) problems.push([['inner'], `type ${type} holds no maps`]);
  return problems;
}

function rulesOf(type: MapType): MapTypeRules {
  return MAP_TYPE_RULES[type];
}

function defaultOf(numbers: Numbers): number {
  return 'only' in numbers ? numbers.only[0] : Number.NaN;
}

function takes(numbers: Numbers, n: number): boolean {
  if ('only' in numbers) return numbers.only.includes(n);
  return n >= numbers.min && n <= numbers.max && (!numbers.powerOfTwo || Number.isInteger(Math.log2(n)));
}

function describe(numbers: Numbers): string {
  if ('only' in numbers) return numbers.only.join(' or ');
  return `${numbers.powerOfTwo ? 'a power of two from ' : ''}${numbers.min} to ${numbers.max}`;
}
