import type * as z from 'zod/mini';
import { pathPrefix } from '../manifest/issue-path.ts';
import { describeIssue } from '../manifest/issue-text.ts';

/** The first problem of `object`: "spec.source: exactly one of …". */
export function objectProblem({ issues }: z.core.$ZodError, object: unknown): string {
  const [first] = issues.flatMap((issue) => describeIssue(issue, object));
  if (first === undefined) return 'it is not what it should be';
  const [path, text] = first;
  return `${pathPrefix(path)}${text}`;
}
