import type { PodTokens } from '../access/pod-tokens.ts';
import { failedPrecondition, notFound, permissionDenied } from '../errors.ts';
import { toCreatedMap } from '../maps/created-map.ts';
import type { Call } from '../rpc/adapter.ts';
import { Access as MapAccess, type PublishVolumeResponse, type VolumeMap } from '../rpc/pinner.ts';
import { quote } from '../text.ts';
import type { NewMap, VolumeSpec } from '../volumes/volume.ts';
import type { PublishOutcome } from './publish-outcome.ts';
import type { PublishParts } from './publish-parts.ts';
import type { PersistentRequest } from './publish-request.ts';
import { requestText } from './request-text.ts';

/** Publishes a volume that this node keeps: its maps, or its workspace. */
export async function publishPersistent(
  request: PersistentRequest,
  tokens: PodTokens,
  parts: PublishParts,
  call: Call,
): Promise<PublishOutcome> {
  await parts.policy.identify(request.pod, tokens, call.signal);
  const { volumeId, targetPath, gid, singleTarget, readOnly } = request;
  const { content, userNamespace } = await findVolume(request, parts);
  if (content.type === 'shared') {
    const maps = toSharedMaps(volumeId, content.newMaps, readOnly ? MapAccess.READ_ONLY : MapAccess.READ_WRITE);
    const volume = {
      volumeId,
      targetPath,
      maps,
      ...(gid !== undefined && { gid }),
      userNamespace,
      singleTarget,
      renew: false,
      request: requestText(request),
    };
    return toOutcome(await parts.pinner.publishVolume(volume, call));
  }
  const workspace = { volumeId, targetPath, ...(gid !== undefined && { gid }), readOnly, singleTarget };
  return toOutcome(await parts.pinner.publishWorkspace(workspace, call));
}

/** Nothing in it comes from the catalog. */
function toOutcome({ outcome, changes, maps: given }: PublishVolumeResponse): PublishOutcome {
  return { outcome, changes, given, maps: new Map(), rules: new Map(), refused: [] };
}

/** The files of a shared volume. */
export function toSharedMaps(volumeId: string, newMaps: readonly NewMap[], access: MapAccess): VolumeMap[] {
  return newMaps.map(({ name, ...definition }) => ({
    name,
    fileName: name,
    access,
    source: { created: toCreatedMap(definition, name, volumeId) },
  }));
}

/**
 * Trusts the BpfVolume and not the PersistentVolume: whoever can write one could name any volume in it. For the same reason only pods in
 * the namespace of the claim that a volume was made for can use it.
 */
async function findVolume(
  { volumeId, type, pod }: PersistentRequest,
  { policy: { volumes, provesIdentity }, nodeId }: PublishParts,
): Promise<VolumeSpec> {
  if (volumes === undefined) {
    throw failedPrecondition(`this node plugin was started without --volumes, which a volume of type ${type} takes`);
  }
  const volume = await volumes.get(volumeId);
  if (volume === undefined) {
    throw notFound(
      `there is no BpfVolume for volume ${quote(volumeId)}: it was deleted, or its PersistentVolume was written by hand, which type ${type} does not allow`,
    );
  }
  const { content, nodeName, claim } = volume.spec;
  if (content.type !== type) throw failedPrecondition(`volume ${volumeId} has type ${content.type}, not ${type}`);
  if (claim === undefined && provesIdentity) {
    throw failedPrecondition(
      `volume ${volumeId} does not say for which claim it was made, so that nobody can tell whose it is: external-provisioner has to run with --extra-create-metadata, and the claim has to be made anew`,
    );
  }
  if (claim !== undefined && claim.namespace !== pod?.namespace) {
    const mismatch =
      pod === undefined ? 'nobody says of which this one is' : `pod ${pod.podName} is in ${pod.namespace}`;
    throw permissionDenied(
      `volume ${volumeId} was made for claim ${claim.namespace}/${claim.name}, and is for pods of that namespace only; ${mismatch}`,
    );
  }
  if (nodeName !== nodeId) {
    throw failedPrecondition(`volume ${volumeId} lives in the memory of node ${nodeName}; this is node ${nodeId}`);
  }
  return volume.spec;
}
