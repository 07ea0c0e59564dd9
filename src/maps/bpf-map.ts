import type { Source } from '../rpc/pinner.ts';
import type { BpfMapObject } from './bpf-map-schema.ts';
import type { BpfMap, MapSource } from './catalog.ts';
import { nameInStore, toCreatedMap } from './created-map.ts';

/** Converts a valid object, and fills in defaults. */
export function fromBpfMap(object: BpfMapObject): BpfMap {
  const { name } = object.metadata;
  const { fileName = name, maxAccess = 'ReadOnly' } = object.spec;
  return Object.freeze({ name, fileName, maxAccess, source: toSource(object) });
}

function toSource({ metadata, spec: { source } }: BpfMapObject): MapSource {
  const { pinned, loaded, bpfman, created, workspace } = source;
  if (workspace !== undefined) {
    const { namespace, claim, path } = workspace;
    return { kind: 'workspace', claim: { namespace, name: claim }, path };
  }
  if (bpfman !== undefined) return { kind: 'bpfman', namespace: undefined, programTag: undefined, ...bpfman };
  const onNode = (source: Source): MapSource => ({ kind: 'node', source });
  if (pinned !== undefined) return onNode({ pinned });
  if (loaded !== undefined) {
    const { map, program = '', programTag = '' } = loaded;
    return onNode({ loaded: { map, program, programTag, programId: 0 } });
  }
  if (created === undefined) throw new TypeError('the schema lets no empty source through');
  // No object's name contains "_", so that two names cannot collide in the store.
  return onNode({ created: toCreatedMap(created, nameInStore(metadata.name), '') });
}
