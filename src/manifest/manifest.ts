import { type Document, isCollection, isMap, isNode, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml';
import type * as z from 'zod/mini';
import { BadConfiguration } from '../errors.ts';
import { type Path, pathPrefix } from './issue-path.ts';
import { describeIssue } from './issue-text.ts';

/** One object of a manifest, and its place. */
export interface Manifest<T> {
  readonly value: T;
  /** "FILE:LINE:COLUMN" of the value at the path or, if that is absent, of its nearest parent. */
  at(path: Path): string;
  /** "FILE:LINE:COLUMN: path: problem". */
  problem(path: Path, text: string): string;
}

/** The content of a YAML text: a value for each document that is not empty, and the problems, in the order of the text. */
export interface Parsed<T> {
  readonly manifests: readonly Manifest<T>[];
  readonly problems: readonly string[];
}

/**
 * The objects of a file in Kubernetes's style: YAML documents, each validated by `schema`. Throws BadConfiguration with every problem, one
 * line each.
 */
export function parseManifests<T>(text: string, file: string, schema: z.ZodMiniType<T>): readonly Manifest<T>[] {
  const { manifests, problems } = parseDocuments(text, `${file}:`, schema, { aliases: true });
  if (problems.length > 0) throw new BadConfiguration(problems);
  return manifests;
}

/**
 * The documents of a YAML text, each validated by `schema`. A place is `prefix` and "LINE:COLUMN". Never throws: invalid YAML is a problem.
 */
export function parseDocuments<T>(
  text: string,
  prefix: string,
  schema: z.ZodMiniType<T>,
  { aliases }: { readonly aliases: boolean },
): Parsed<T> {
  const lines = new LineCounter();
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${prefix}${line}:${col}`;
  };
  const manifests: Manifest<T>[] = [];
  const problems: string[] = [];
  for (const document of parseAllDocuments(text, { lineCounter: lines, prettyErrors: false })) {
    const faults = faultsOf(document, aliases);
    for (const { offset, message } of faults) problems.push(`${place(offset)}: ${message}`);
    if (faults.length > 0) continue;
    const at = (path: Path) => place(offsetOf(document, path));
    const problem = (path: Path, text: string) => `${at(path)}: ${pathPrefix(path)}${text}`;
    const content = toObject(document);
    if (content === null) continue;
    const parsed = schema.safeParse(content);
    if (parsed.success) manifests.push({ value: parsed.data, at, problem });
    else
      for (const issue of parsed.error.issues)
        problems.push(...describeIssue(issue, content).map(([path, text]) => problem(path, text)));
  }
  return { manifests, problems };
}

interface Fault {
  readonly offset: number;
  readonly message: string;
}

/** Why a document is not validated by the schema. */
function faultsOf(document: Document.Parsed, aliases: boolean): readonly Fault[] {
  const faults = document.errors.map(({ pos, code, message }) => ({
    offset: pos[0],
    message: code === 'RESOURCE_EXHAUSTION' ? 'nested too deeply' : message,
  }));
  if (faults.length > 0) return faults;
  visit(document, {
    Alias(_, { range }) {
      if (!aliases) faults.push({ offset: range?.[0] ?? 0, message: 'an alias is not taken here: write it out' });
    },
    // As a key of a JavaScript object it is converted to text, which takes minutes if such keys are nested.
    Pair(_, { key }) {
      if (isScalar(key)) return undefined;
      faults.push({ offset: start(key) ?? 0, message: 'a key must be text' });
      return visit.BREAK;
    },
  });
  return faults;
}

function toObject(document: Document.Parsed): unknown {
  try {
    return document.toJS();
  } catch (error) {
    return error; // too many aliases: rejected by the schema
  }
}

/** The offset of the key at the path's end or, if it is absent, of the deepest parent that exists. */
function offsetOf({ contents, range }: Document.Parsed, path: Path): number {
  let node: unknown = contents;
  let offset = start(node) ?? range[0];
  for (const step of path) {
    const key = isMap(node) ? node.items.find((item) => isScalar(item.key) && item.key.value === step)?.key : undefined;
    node = isCollection(node) ? node.get(step, true) : undefined;
    offset = start(key) ?? start(node) ?? offset;
  }
  return offset;
}

function start(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
