import * as z from 'zod/mini';
import { unavailable } from '../errors.ts';
import { objectProblem } from './object-problem.ts';
import type { KubernetesObject } from './resource.ts';

/**
 * Parses a response of the API server. Throws UNAVAILABLE if it does not match the schema, because it may be a proxy's. `what`: its kind,
 * for the error.
 */
export function understood<S extends z.ZodMiniType>(schema: S, object: KubernetesObject, what: string): z.output<S> {
  const parsed = z.safeParse(schema, object);
  if (parsed.success) return parsed.data;
  throw unavailable(
    `what the API server answers to a ${what} is none: ${objectProblem(parsed.error, object)}`,
    parsed.error,
  );
}
