import * as z from 'zod/mini';
import { unavailable } from '../errors.ts';
import { objectProblem } from './object-problem.ts';
import type { KubernetesObject } from './resource.ts';

/** What an answer of the API server says, by `schema`. Throws UNAVAILABLE if it is another's: `what`, such as a proxy's. */
export function understood<S extends z.ZodMiniType>(schema: S, object: KubernetesObject, what: string): z.output<S> {
  const parsed = z.safeParse(schema, object);
  if (parsed.success) return parsed.data;
  throw unavailable(`what the API server answers to a ${what} is none: ${objectProblem(parsed.error)}`, parsed.error);
}
