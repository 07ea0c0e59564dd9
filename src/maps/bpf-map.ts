import type { Source } from '../rpc/pinner.ts';
import type { BpfMapObject } from './bpf-map-schema.ts';
import type { BpfMap, MapSource } from './catalog.ts';
import { nameInStore, toCreatedMap } from './created-map.ts';
import { OWNER_FIELDS, OWNER_KINDS } from './workspace-owner.ts';

/** Converts a valid object, and fills in defaults. */
export function fromBpfMap(object: BpfMapObject): BpfMap {
  const { name } = object.metadata;
  const { fileName = name, maxAccess = 'ReadOnly' } = object.spec;
  return Object.freeze({ name, fileName, maxAccess, source: toSource(object) });
}

function toSource({ metadata, spec: { source } }: BpfMapObject): MapSource {
  const { pinned, loaded, bpfman, created, workspace, delegation } = source;
  if (workspace !== undefined) return toWorkspaceSource(workspace);
  if (bpfman !== undefined) return { kind: 'bpfman', namespace: undefined, programTag: undefined, ...bpfman };
  const onNode = (source: Source): MapSource => ({ kind: 'node', source });
  if (pinned !== undefined) return onNode({ pinned });
  if (loaded !== undefined) {
    const { map, program = '', programTag = '' } = loaded;
    return onNode({ loaded: { map, program, programTag, programId: 0 } });
  }
  if (delegation !== undefined) {
    const { namespace, serviceAccount, volume, path } = delegation;
    return onNode({ delegated: { owner: { namespace, serviceAccount }, volume, path } });
  }
  if (created === undefined) throw new TypeError('the schema lets no empty source through');
  // No object's name contains "_", so that two names cannot collide in the store.
  return onNode({ created: toCreatedMap(created, nameInStore(metadata.name), '') });
}

function toWorkspaceSource(workspace: NonNullable<BpfMapObject['spec']['source']['workspace']>): MapSource {
  const { namespace, claim, volume, path } = workspace;
  if (claim !== undefined) return { kind: 'workspace', claim: { namespace, name: claim }, path };
  for (const field of OWNER_FIELDS) {
    const name = workspace[field];
    if (name === undefined || volume === undefined) continue;
    return { kind: 'ownedWorkspace', owner: { kind: OWNER_KINDS[field], namespace, name }, volume, path };
  }
  throw new TypeError('the schema lets no nameless workspace through');
}
