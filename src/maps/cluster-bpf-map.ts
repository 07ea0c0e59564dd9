import { objectProblem } from '../kubernetes/object-problem.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import { fromBpfMap } from './bpf-map.ts';
import { bpfMapSchema } from './bpf-map-schema.ts';
import type { BpfMap } from './catalog.ts';
import { FILE_NAME } from './names.ts';

/**
 * A BpfMap from the API server. The CustomResourceDefinition of this version accepts only valid objects; that of another version may accept
 * others. fileName and maxAccess of an invalid object are kept, so that a volume that already has its map can be checked against the grants
 * of all its maps.
 */
export function parseBpfMap(object: KubernetesObject): BpfMap {
  return { ...parse(object), uid: object.metadata.uid };
}

function parse({ metadata: { name }, apiVersion, kind, spec }: KubernetesObject): BpfMap {
  const object = { apiVersion, kind, metadata: { name }, spec };
  const parsed = bpfMapSchema.safeParse(object);
  if (!parsed.success) return unusableBpfMap(name, spec, objectProblem(parsed.error, object));
  return fromBpfMap(parsed.data);
}

function unusableBpfMap(name: string, spec: unknown, problem: string): BpfMap {
  const { fileName, maxAccess } = Object(spec) as { readonly fileName?: unknown; readonly maxAccess?: unknown };
  const isFileName = (text: unknown): text is string => typeof text === 'string' && FILE_NAME.test(text);
  return {
    name,
    // If neither is a valid file name, no volume has the file.
    fileName: [fileName, name].find(isFileName) ?? name.replaceAll('.', '_').slice(0, 128),
    maxAccess: maxAccess === 'ReadWrite' ? 'ReadWrite' : 'ReadOnly',
    source: { kind: 'unusable', problem: `BpfMap "${name}" cannot be used: ${problem}` },
  };
}
