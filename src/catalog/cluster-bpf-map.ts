import { objectProblem } from '../kubernetes/object-problem.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import { fromBpfMap } from './bpf-map.ts';
import { bpfMapSchema } from './bpf-map-schema.ts';
import type { BpfMap } from './catalog.ts';
import { FILE_NAME } from './names.ts';

/** An object that is there and of no use, as a sentence saying what is wrong with it. */
export interface InvalidBpfMap {
  readonly problem: string;
}

/**
 * A BpfMap as the API server has it. The CustomResourceDefinition of this version lets no invalid one through; that of another
 * version may.
 */
export function parseBpfMap({ metadata, apiVersion, kind, spec }: KubernetesObject): BpfMap | InvalidBpfMap {
  const { name } = metadata;
  const invalid = (problem: string): InvalidBpfMap => ({ problem: `BpfMap "${name}" cannot be used: ${problem}` });
  const parsed = bpfMapSchema.safeParse({ apiVersion, kind, metadata: { name }, spec });
  if (!parsed.success) return invalid(objectProblem(parsed.error));
  const fileName = parsed.data.spec.fileName ?? name;
  if (!FILE_NAME.test(fileName)) {
    return invalid(`spec.fileName: required, because a bpf filesystem refuses the dot in "${name}"`);
  }
  return fromBpfMap(parsed.data, fileName);
}
