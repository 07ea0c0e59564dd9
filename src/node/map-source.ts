import type { Bpfman } from '../catalog/bpfman.ts';
import type { BpfMap, BpfmanSource, WorkspaceSource } from '../catalog/catalog.ts';
import { failedPrecondition, unavailable } from '../errors.ts';
import type { Source } from '../rpc/generated/pinner.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';
import type { ResolveSource } from './map-look.ts';

/** Where a source is looked up that is not the same on every node. */
export interface SourceResolverParts {
  readonly nodeId: string;
  /** Undefined: this node plugin knows no persistent volumes. */
  readonly volumes: VolumeReader | undefined;
  /** Undefined: there is no cluster that bpfman could be in. */
  readonly bpfman: Bpfman | undefined;
}

/** Most sources are the same on every node; the others mean what is on this one. */
export function createSourceResolver(parts: SourceResolverParts): ResolveSource {
  return (map) => {
    const { source } = map;
    switch (source.kind) {
      case 'node':
        return source.source;
      case 'workspace':
        return workspaceMap(map, source, parts);
      case 'bpfman':
        return bpfmanMap(map, source, parts);
      case 'unusable':
        throw failedPrecondition(source.problem);
    }
  };
}

async function bpfmanMap({ name }: BpfMap, source: BpfmanSource, { bpfman }: SourceResolverParts): Promise<Source> {
  if (bpfman === undefined) throw failedPrecondition(`map "${name}": source.bpfman is for clusters (--cluster)`);
  return { from: { $case: 'loaded', value: await bpfman.resolve(source) } };
}

async function workspaceMap(
  { name }: BpfMap,
  { claim, path }: WorkspaceSource,
  { nodeId, volumes }: SourceResolverParts,
): Promise<Source> {
  const shown = `claim ${claim.namespace}/${claim.name}`;
  const absent = (why: string) => unavailable(`map "${name}": ${why}`);
  const unusable = (why: string) => failedPrecondition(`map "${name}": ${why}`);
  if (volumes === undefined) throw unusable(`${shown}: this node plugin knows no persistent volumes (--volumes)`);
  const { volumes: all, damaged } = await volumes.list();
  const ofClaim = all.filter(({ spec }) => spec.claim?.namespace === claim.namespace && spec.claim.name === claim.name);
  // A claim that was deleted and made anew may have left a retained volume behind. In a cluster those of other nodes are not
  // in the list: beside a claim whose new volume is elsewhere, a volume retained here is still taken for the claim's.
  const newest = ofClaim.sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime())[0];
  if (newest === undefined) {
    const hint = damaged.length === 0 ? '' : `; perhaps it is one that cannot be read: ${damaged[0]}`;
    throw absent(`no volume on node ${nodeId} belongs to ${shown} yet${hint}`);
  }
  const { id, spec } = newest;
  if (spec.content.type !== 'workspace')
    throw unusable(`the volume of ${shown} has type ${spec.content.type}, not workspace`);
  if (spec.nodeName !== nodeId) throw absent(`the workspace of ${shown} is on node ${spec.nodeName}, not on ${nodeId}`);
  return { from: { $case: 'workspace', value: { volumeId: id, path } } };
}
