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
    const [range, is] = [describe(rules[field]), definition[field]];
    if (takes(rules[field], is)) continue;
    const missing = `${field} is required for type ${type}: ${range}`;
    problems.push([[field], Number.isNaN(is) ? missing : `${field} must be ${range} for type ${type}, is ${is}`]);
  }
  const { elementSize } = rules;
  const element = keySize + valueSize;
  if (problems.length === 0 && elementSize !== undefined && element > elementSize) {
    const must = `keySize and valueSize together must be at most ${elementSize}`;
    problems.push([['valueSize'], `${must} for type ${type}, are ${element}`]);
  }
  if (problems.length === 0 && mapMemoryBytes(definition) > MAX_MEMORY_BYTES) {
    const much = `maxEntries must be less for type ${type}, is ${maxEntries}: the map would take more than 64 GiB`;
    problems.push([['maxEntries'], `${much}, the most that the driver makes a map of`]);
  }
  const wrong = flags.findIndex((flag) => !rules.flags.includes(flag));
  if (wrong >= 0) {
    const allowed = rules.flags.length === 0 ? 'no flags' : `only the flags ${rules.flags.join(', ')}`;
    problems.push([['flags', wrong], `type ${type} takes ${allowed}; flags has ${flags.join(', ')}`]);
  }
  if (rules.needs !== undefined && !flags.includes(rules.needs)) {
    problems.push([['flags'], `type ${type} needs the flag ${rules.needs}: add it to flags`]);
  }
  if (flags.includes('BPF_F_RDONLY_PROG') && flags.includes('BPF_F_WRONLY_PROG')) {
    const both = 'BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG exclude each other';
    problems.push([['flags'], `${both}: remove one of them from flags`]);
  }
  if (rules.ofMaps && inner === undefined) {
    problems.push([['inner'], `inner is required for type ${type}: the definition of each map in it`]);
  }
  if (!rules.ofMaps && inner !== undefined) problems.push([['inner'], `type ${type} holds no maps: remove inner`]);
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
