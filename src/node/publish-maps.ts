import type { PodTokens } from '../access/pod-tokens.ts';
import { CallError } from '../errors.ts';
import type { Call } from '../rpc/adapter.ts';
import { lookAtMaps } from './map-look.ts';
import type { PublishOutcome } from './publish-outcome.ts';
import type { PublishParts } from './publish-parts.ts';
import type { MapsRequest } from './publish-request.ts';
import { toRefusedMaps } from './refused-map.ts';
import { requestText } from './request-text.ts';
import type { Target } from './target.ts';
import { fromPinner, planVolume, type Refusal, refusalIn } from './volume-plan.ts';

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
  const { policy, metrics, denials, audit } = parts;
  const pod = await policy.identify(request.pod, tokens, call.signal);
  const isNew = async () => !(await target.isRunning());
  const looks = await lookAtMaps(request.maps, pod, policy, call.signal, isNew);
  for (const { denied } of looks) if (denied !== undefined) metrics.denied(denied.verb, denied.reason);
  const plan = planVolume(looks, pod, policy.catalog.names);
  const fault = plan.refusals.find(({ reason }) => reason === 'fault');
  const first = fault ?? plan.refusals[0];
  if (first !== undefined && (await isNew())) {
    refuse(plan.refusals);
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
  const answer = await parts.pinner.publishVolume({ ...volume, maps: [...plan.files] }, call).catch(async (error) => {
    const refusal = refusalIn(CallError.from(error), request.maps);
    if (refusal !== undefined && (await isNew().catch(() => false))) refuse([refusal]);
    throw error;
  });
  const unfound = answer.refusals.map(fromPinner);
  for (const { reason } of unfound) metrics.refused(reason, 'running');
  const refusals = [...plan.refusals, ...unfound];
  note(refusals, call);
  const refused = toRefusedMaps(refusals, request.maps, pod);
  denials.record(pod, refused);
  const given = looks.flatMap(({ map, rule }) => (map === undefined || rule === undefined ? [] : { map, rule }));
  return {
    outcome: answer.outcome,
    changes: answer.changes,
    given: answer.maps,
    maps: new Map(given.map(({ map }) => [map.name, map])),
    rules: new Map(given.map(({ map, rule }) => [map.name, rule])),
    refused,
    failure: fault?.error,
  };

  /** For a new pod. */
  function refuse(refusals: readonly Refusal[]): void {
    for (const { reason } of refusals) metrics.refused(reason, 'new');
    const refused = toRefusedMaps(refusals, request.maps, pod);
    denials.record(pod, refused);
    audit.refused(request, refused);
  }
}

/** Logs refusals with the call, which succeeds in spite of them. */
function note(refusals: readonly Refusal[], call: Call): void {
  if (refusals.length === 0) return;
  const refused = refusals
    .slice(0, MAX_NOTED)
    .map(({ map, reason, error }) => ({ map, reason, error: error.message.slice(0, MAX_NOTE_LENGTH) }));
  call.note({ refused, ...(refusals.length > MAX_NOTED && { refusedMore: refusals.length - MAX_NOTED }) });
}
