import { type PodTokens, podTokens } from '../access/pod-tokens.ts';
import type { Call } from '../rpc/adapter.ts';
import type { NodePublishVolumeRequest } from '../rpc/csi.ts';
import { PublishVolumeResponse_Outcome as Outcome } from '../rpc/pinner.ts';
import { publishDelegation } from './publish-delegation.ts';
import { publishMaps } from './publish-maps.ts';
import type { PublishOutcome } from './publish-outcome.ts';
import type { PublishParts } from './publish-parts.ts';
import { publishPersistent } from './publish-persistent.ts';
import { type PublishRequest, parsePublishRequest } from './publish-request.ts';
import { observeTarget, type Target } from './target.ts';
import { delegationRevoked, toVolumeChanges, type VolumeChange } from './volume-changes.ts';
import type { VolumeReference } from './volume-reference.ts';

/**
 * Decides what the volume contains and has the pinner make it. Throws INVALID_ARGUMENT for an invalid request, UNAUTHENTICATED for a pod
 * other than the request says, NOT_FOUND, PERMISSION_DENIED or FAILED_PRECONDITION for a map that the pod may not have, UNAVAILABLE for
 * what does not exist yet, and whatever the pinner answers.
 *
 * When the volume exists, its pod may be running, and an error comes too late. The volume then loses the maps that its pod may no longer
 * have, and keeps those that cannot be checked now.
 */
export async function publish(
  volume: VolumeReference,
  request: NodePublishVolumeRequest,
  parts: PublishParts,
  call: Call,
): Promise<void> {
  const started = performance.now();
  const target = observeTarget(volume, parts.pinner, call);
  try {
    parts.policy.requireTrusted();
    const wanted = parsePublishRequest(volume, request);
    const tokens = podTokens(request);
    const outcome = await publishWanted(wanted, tokens, target, parts, call);
    const before = parts.published.originsAt(wanted.targetPath);
    const wasRevoked = parts.published.at(wanted.targetPath)?.isRevoked ?? false;
    parts.published.add(wanted, outcome);
    recordChanges(wanted, toVolumeChanges(wanted, outcome.changes, before, outcome.maps), parts);
    if (outcome.isRevoked === true && !wasRevoked) recordChanges(wanted, [delegationRevoked(wanted)], parts);
    parts.audit.published(wanted, outcome);
    if (outcome.failure !== undefined) throw outcome.failure;
    parts.metrics.published(outcome.outcome, (performance.now() - started) / 1000);
    // The kubelet repeats the publish of each volume about once a minute.
    if (outcome.outcome === Outcome.UNCHANGED) call.quiet();
  } catch (error) {
    throw await target.asAnswer(error);
  }
}

function publishWanted(
  wanted: PublishRequest,
  tokens: PodTokens,
  target: Target,
  parts: PublishParts,
  call: Call,
): Promise<PublishOutcome> {
  switch (wanted.type) {
    case 'maps':
      return publishMaps(wanted, tokens, target, parts, call);
    case 'delegation':
      return publishDelegation(wanted, tokens, target, parts, call);
    default:
      return publishPersistent(wanted, tokens, parts, call);
  }
}

function recordChanges(
  { pod }: PublishRequest,
  changes: readonly VolumeChange[],
  { events, metrics }: PublishParts,
): void {
  for (const { reason, note, files } of changes) {
    metrics.volumeChanged(reason, files);
    if (pod !== undefined) events.record(pod, reason, note);
  }
}
