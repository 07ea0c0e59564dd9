import type { PodTokens } from '../access/pod-tokens.ts';
import { failedPrecondition, notFound, permissionDenied } from '../errors.ts';
import { claimName } from '../kubernetes/claim.ts';
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
  const { content, userNamespace, claim } = await findVolume(request, parts);
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
  const workspace = {
    volumeId,
    targetPath,
    ...(gid !== undefined && { gid }),
    readOnly,
    singleTarget,
    claim: claim === undefined ? '' : claimName(claim),
  };
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
    throw failedPrecondition(
      `volume ${volumeId} has type ${type}, and this node plugin was started without --volumes: start it with the controller's directory`,
    );
  }
  const volume = await volumes.get(volumeId);
  if (volume === undefined) {
    throw notFound(
      `there is no BpfVolume for volume ${quote(volumeId)}: it was deleted, or its PersistentVolume was written by hand, which type ${type} does not allow; delete claim and PersistentVolume, and create the claim again`,
    );
  }
  const { content, nodeName, claim } = volume.spec;
  const shown = claim === undefined ? `volume ${volumeId}` : `the volume of claim ${claimName(claim)}`;
  if (content.type !== type) {
    throw failedPrecondition(
      `volumeAttributes.type: the PersistentVolume says ${type}, and ${shown} has type ${content.type}; somebody wrote this PersistentVolume by hand: delete claim and PersistentVolume, and create the claim again`,
    );
  }
  if (claim === undefined && provesIdentity) {
    throw failedPrecondition(
      `volume ${volumeId} does not say for which claim it was made, so that nobody can tell whose it is: external-provisioner has to run with --extra-create-metadata, as the chart starts it; then delete the claim and create it again`,
    );
  }
  if (claim !== undefined && claim.namespace !== pod?.namespace) {
    const mismatch =
      pod === undefined
        ? 'the kubelet did not say of which this one is'
        : `pod ${pod.namespace}/${pod.podName} needs a claim of its own namespace`;
    throw permissionDenied(
      `volume ${volumeId} was made for claim ${claimName(claim)}, and is for pods of that namespace only; ${mismatch}`,
    );
  }
  if (nodeName !== nodeId) {
    throw failedPrecondition(
      `${shown} lives in the memory of node ${nodeName}, and this is node ${nodeId}: let the scheduler choose the pod's node, without spec.nodeName`,
    );
  }
  return volume.spec;
}
