import type * as z from 'zod/mini';
import { quote } from '../text.ts';
import type { Path } from './issue-path.ts';

const NOUNS: Readonly<Record<string, string>> = { object: 'an object', array: 'a list', null: 'null' };

/** zod/mini's message where the schema gives none. */
const NO_MESSAGE = 'Invalid input';

/**
 * What an issue of a schema says in the words of the object's author, and at which path: one problem for each unknown key. `input`: what
 * was parsed. Values are quoted only where the schema lists the allowed ones, so that no text has a secret.
 */
export function describeIssue(issue: z.core.$ZodIssue, input: unknown): readonly (readonly [Path, string])[] {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [[...path, key], 'unknown key']);
  if (issue.code === 'custom') return [[path, issue.message]];
  const is = valueAt(input, path);
  if (is === undefined) return [[path, 'required']];
  if (issue.message !== NO_MESSAGE) return [[path, issue.message]];
  const shown = isScalar(is) ? quote(`${is}`) : noun(kindOf(is));
  switch (issue.code) {
    case 'invalid_type':
      return [[path, `must be ${noun(issue.expected)}, is ${noun(kindOf(is))}`]];
    case 'invalid_value':
      return [[path, outside(issue.values.map(String), shown)]];
    case 'invalid_union':
      return [[path, `${shown} is nothing that this version knows`]];
    default:
      return [[path, 'has a value that this version does not take']];
  }
}

function outside(allowed: readonly string[], shown: string): string {
  return allowed.length === 1 ? `must be ${allowed[0]}, is ${shown}` : `${shown} is none of ${allowed.join(', ')}`;
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (value === null ? undefined : Object(value)[step]), input);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function noun(kind: string): string {
  return NOUNS[kind] ?? `a ${kind}`;
}

function isScalar(value: unknown): value is string | number | boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}
