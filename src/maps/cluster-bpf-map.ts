import { objectProblem } from '../kubernetes/object-problem.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import { fromBpfMap } from './bpf-map.ts';
import { bpfMapSchema } from './bpf-map-schema.ts';
import type { BpfMap } from './catalog.ts';
import { FILE_NAME } from './names.ts';

/**
 * A BpfMap as the API server has it. The CustomResourceDefinition of this version lets no invalid one through; that of another
 * version may. What else can be told of an invalid one is told, so that a volume which has its map already can be held to the
 * grants of all its maps.
 */
export function parseBpfMap(object: KubernetesObject): BpfMap {
  return { ...parse(object), uid: object.metadata.uid };
}

function parse({ metadata: { name }, apiVersion, kind, spec }: KubernetesObject): BpfMap {
  const parsed = bpfMapSchema.safeParse({ apiVersion, kind, metadata: { name }, spec });
  if (!parsed.success) return unusableBpfMap(name, spec, objectProblem(parsed.error));
  return fromBpfMap(parsed.data);
}

function unusableBpfMap(name: string, spec: unknown, problem: string): BpfMap {
  const { fileName, maxAccess } = Object(spec) as { readonly fileName?: unknown; readonly maxAccess?: unknown };
  const isFileName = (text: unknown): text is string => typeof text === 'string' && FILE_NAME.test(text);
  return {
    name,
    // Without a name that a file could have, no volume has it.
    fileName: [fileName, name].find(isFileName) ?? name.replaceAll('.', '_').slice(0, 128),
    maxAccess: maxAccess === 'ReadWrite' ? 'ReadWrite' : 'ReadOnly',
    source: { kind: 'unusable', problem: `BpfMap "${name}" cannot be used: ${problem}` },
  };
}
