import type { BpfMap } from '../catalog/catalog.ts';
import { unavailable } from '../errors.ts';
import type { Source } from '../rpc/generated/pinner.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';
import type { ResolveSource } from './volume-maps.ts';

/**
 * Most sources are the same on every node. A workspace's is looked up by its claim: which volume is it, and is it on this
 * node? `volumes`: undefined where this node plugin knows no persistent volumes.
 */
export function createSourceResolver(nodeId: string, volumes: VolumeReader | undefined): ResolveSource {
  return (map) => (map.source.kind === 'node' ? map.source.source : workspaceMap(map, map.source, nodeId, volumes));
}

async function workspaceMap(
  { name }: BpfMap,
  { claim, path }: Extract<BpfMap['source'], { kind: 'workspace' }>,
  nodeId: string,
  volumes: VolumeReader | undefined,
): Promise<Source> {
  const shown = `claim ${claim.namespace}/${claim.name}`;
  const absent = (why: string) => unavailable(`map "${name}": ${why}`);
  if (volumes === undefined) throw absent(`${shown}: this node plugin knows no persistent volumes (--volumes)`);
  const { volumes: all, damaged } = await volumes.list();
  const ofClaim = all.filter(({ spec }) => spec.claim?.namespace === claim.namespace && spec.claim.name === claim.name);
  // A claim that was deleted and made anew may have left a retained volume behind.
  const newest = ofClaim.sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime())[0];
  if (newest === undefined) {
    const hint = damaged.length === 0 ? '' : `; perhaps it is one that cannot be read: ${damaged[0]}`;
    throw absent(`no volume of this driver belongs to ${shown} yet${hint}`);
  }
  const { id, spec } = newest;
  if (spec.content.type !== 'workspace')
    throw absent(`the volume of ${shown} has type ${spec.content.type}, not workspace`);
  if (spec.nodeName !== nodeId) throw absent(`the workspace of ${shown} is on node ${spec.nodeName}, not on ${nodeId}`);
  return { from: { $case: 'workspace', value: { volumeId: id, path } } };
}
