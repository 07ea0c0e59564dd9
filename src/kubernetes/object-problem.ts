import type * as z from 'zod/mini';

/** The first thing that is wrong with an object: "spec.source: exactly one of …". */
export function objectProblem({ issues }: z.core.$ZodError): string {
  const [issue] = issues;
  if (issue === undefined) return 'it is not what it should be';
  const path = issue.path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return path === '' ? issue.message : `${path.replace(/^\./, '')}: ${issue.message}`;
}
