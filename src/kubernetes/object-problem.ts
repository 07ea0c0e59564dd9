import type * as z from 'zod/mini';
import { pathPrefix } from '../manifest/issue-path.ts';

/** The first problem of an object: "spec.source: exactly one of …". */
export function objectProblem({ issues }: z.core.$ZodError): string {
  const [issue] = issues;
  if (issue === undefined) return 'it is not what it should be';
  return `${pathPrefix(issue.path)}${issue.message}`;
}
