import type { PodTokens } from '../access/pod-tokens.ts';
import type { Call } from '../rpc/adapter.ts';
import { lookAtMaps } from './map-look.ts';
import type { PublishOutcome, PublishParts } from './publish-parts.ts';
import type { MapsRequest } from './publish-request.ts';
import { requestText } from './request-text.ts';
import type { Target } from './target.ts';
import { fromPinner, planVolume, type Refusal } from './volume-plan.ts';

/** Refusals that a log line names; the others are counted. */
const MAX_NOTED = 8;
/** Characters of each error in it. */
const MAX_NOTE_LENGTH = 200;

/**
 * Publishes maps of the catalog, each if the pod may have it. For a new pod it is all or nothing: the first refusal is thrown. A running
 * pod loses the maps that it may no longer have, whatever else fails, and keeps those that cannot be checked now.
 */
export async function publishMaps(
  request: MapsRequest,
  tokens: PodTokens,
  target: Target,
  parts: PublishParts,
  call: Call,
): Promise<PublishOutcome> {
  const { policy, pinner, metrics } = parts;
  const pod = await policy.identify(request.pod, tokens, call.signal);
  const isNew = async () => !(await target.isRunning());
  const looks = await lookAtMaps(request.maps, pod, policy, call.signal, isNew);
  for (const { denied } of looks) if (denied !== undefined) metrics.denied(denied.verb, denied.reason);
  const plan = planVolume(looks, pod, policy.catalog.names);
  const fault = plan.refusals.find(({ reason }) => reason === 'fault');
  const first = fault ?? plan.refusals[0];
  if (first !== undefined && (await isNew())) {
    for (const { reason } of plan.refusals) metrics.refused(reason, 'new');
    throw first.error;
  }
  for (const { reason } of plan.refusals) metrics.refused(reason, 'running');
  note(plan.refusals, call);
  const { volumeId, targetPath, gid, userNamespace, singleTarget } = request;
  const volume = {
    volumeId,
    targetPath,
    ...(gid !== undefined && { gid }),
    userNamespace,
    singleTarget,
    request: requestText(request),
    renew: true,
  };
  const { outcome, changes, refusals } = await pinner.publishVolume({ ...volume, maps: [...plan.files] }, call);
  const unfound = refusals.map(fromPinner);
  for (const { reason } of unfound) metrics.refused(reason, 'running');
  note([...plan.refusals, ...unfound], call);
  const maps = new Map(
    looks.flatMap(({ map, verb }) => (map === undefined || verb === undefined ? [] : [[map.name, map]])),
  );
  return { outcome, maps, changes, failure: fault?.error };
}

/** Logs refusals with the call, which succeeds in spite of them. */
function note(refusals: readonly Refusal[], call: Call): void {
  if (refusals.length === 0) return;
  const refused = refusals
    .slice(0, MAX_NOTED)
    .map(({ map, reason, error }) => ({ map, reason, error: error.message.slice(0, MAX_NOTE_LENGTH) }));
  call.note({ refused, ...(refusals.length > MAX_NOTED && { refusedMore: refusals.length - MAX_NOTED }) });
}
