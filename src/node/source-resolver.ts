import { isDeepStrictEqual } from 'node:util';
import { failedPrecondition, unavailable } from '../errors.ts';
import { type Claim, claimName } from '../kubernetes/claim.ts';
import type { Bpfman } from '../maps/bpfman.ts';
import type { BpfMap, BpfmanSource, WorkspaceSource } from '../maps/catalog.ts';
import type { Source } from '../rpc/pinner.ts';
import { claimOf, type Volume } from '../volumes/volume.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';
import { ownedWorkspaceMap } from './owned-workspace.ts';
import type { ResolveSource } from './policy.ts';
import { volumeInUse } from './volume-in-use.ts';

/** Where sources that differ between nodes are looked up. */
export interface SourceResolverParts {
  readonly nodeId: string;
  /** Undefined: this node plugin knows no persistent volumes. */
  readonly volumes: VolumeReader | undefined;
  /** The ids of the volumes that the pinner keeps on this node, because pods have used them here. */
  kept(): Promise<readonly string[]>;
  /** Undefined: without a cluster. */
  readonly bpfman: Bpfman | undefined;
}

/** Most sources are the same on every node. The others refer to this node. */
export function createSourceResolver(parts: SourceResolverParts): ResolveSource {
  return (map) => {
    const { source } = map;
    switch (source.kind) {
      case 'node':
        return source.source;
      case 'workspace':
        return workspaceMap(map, source, parts);
      case 'ownedWorkspace':
        return ownedWorkspaceMap(map, source, { ...parts, knowsOwners: parts.bpfman !== undefined });
      case 'bpfman':
        return bpfmanMap(map, source, parts);
      case 'unusable':
        throw failedPrecondition(source.problem);
    }
  };
}

async function bpfmanMap({ name }: BpfMap, source: BpfmanSource, { bpfman }: SourceResolverParts): Promise<Source> {
  if (bpfman === undefined)
    throw failedPrecondition(
      `map "${name}": source.bpfman takes a cluster, and this node plugin was started without --cluster`,
    );
  return { loaded: await bpfman.resolve(source) };
}

async function workspaceMap(
  { name }: BpfMap,
  { claim, path }: WorkspaceSource,
  { nodeId, volumes, kept }: SourceResolverParts,
): Promise<Source> {
  const shown = `claim ${claimName(claim)}`;
  const absent = (why: string) => unavailable(`map "${name}": ${why}`);
  const unusable = (why: string) => failedPrecondition(`map "${name}": ${why}`);
  if (volumes === undefined)
    throw unusable(`source.workspace takes persistent volumes, and this node plugin was started without --volumes`);
  const { volumes: all, damaged } = await volumes.list();
  const found = await usedBy(claim, all, kept);
  if (found === undefined) {
    const hint = damaged.length === 0 ? '' : `; perhaps it is one that cannot be read: ${damaged[0]}`;
    throw absent(
      `no volume on node ${nodeId} belongs to ${shown} yet: start a pod on this node that mounts the claim${hint}`,
    );
  }
  const { id, spec } = found;
  if (spec.content.type !== 'workspace')
    throw unusable(
      `the volume of ${shown} has type ${spec.content.type}, not workspace: name a claim of a StorageClass with type workspace in the BpfMap's source.workspace`,
    );
  if (spec.nodeName !== nodeId) {
    throw absent(
      `the workspace of ${shown} is on node ${spec.nodeName}, not on ${nodeId}: give this pod an affinity to that node`,
    );
  }
  return { workspace: { volumeId: id, path, claim: claimName(claim) } };
}

/**
 * The volume that the claim's pods use. A claim can have several: CreateVolume may leave an unused one behind, and a claim that was deleted
 * and created again may have left a retained one. Chosen is the volume with a PersistentVolume bound to the claim; if no binding is known,
 * see volumeInUse.
 */
async function usedBy(
  claim: Claim,
  volumes: readonly Volume[],
  kept: SourceResolverParts['kept'],
): Promise<Volume | undefined> {
  const ofClaim = volumes.filter((volume) => isDeepStrictEqual(claimOf(volume), claim));
  const bound = ofClaim.filter(({ binding }) => binding?.phase === 'Bound');
  return await volumeInUse(bound.length > 0 ? bound : ofClaim, kept);
}
