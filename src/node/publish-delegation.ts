import { userName } from '../access/access.ts';
import type { PodTokens } from '../access/pod-tokens.ts';
import { CallError, Code, permissionDenied } from '../errors.ts';
import type { Call } from '../rpc/adapter.ts';
import { PublishVolumeResponse_Outcome as Outcomes } from '../rpc/pinner.ts';
import type { PublishOutcome } from './publish-outcome.ts';
import type { PublishParts } from './publish-parts.ts';
import type { DelegationRequest } from './publish-request.ts';
import { type RefusedDelegation, toRefusedDelegation } from './refused-delegation.ts';
import { requestText } from './request-text.ts';
import type { Target } from './target.ts';

const UNCHANGED: PublishOutcome = {
  outcome: Outcomes.UNCHANGED,
  changes: [],
  given: [],
  maps: new Map(),
  rules: new Map(),
  refused: [],
};

/**
 * Publishes a delegation for a new pod whose service account may use it. A volume that exists stays as it is, whatever has become of the
 * BpfDelegation. If the grant was withdrawn, no new token can be made there; neither a token nor a program that was loaded with it can be
 * taken back.
 */
export async function publishDelegation(
  request: DelegationRequest,
  tokens: PodTokens,
  target: Target,
  { policy, pinner, metrics, denials, audit }: PublishParts,
  call: Call,
): Promise<PublishOutcome> {
  const { volumeId, targetPath, delegation: name } = request;
  const pod = await policy.identify(request.pod, tokens, call.signal);
  const decision = await policy.access.check(pod, name, 'use', call.signal);
  const isRunning = await target.isRunning();
  if (isRunning) await pinner.allowDelegation({ volumeId, targetPath, allowed: decision.allowed }, call);
  if (!decision.allowed) {
    metrics.denied('use', 'grant');
    const why = `${userName(pod)} may not use delegation "${name}" (no grant: ${decision.remedy})`;
    const refused = toRefusedDelegation(name, 'grant', why);
    if (!isRunning) {
      refuse(refused);
      throw permissionDenied(why);
    }
    denials.record(pod, [refused]);
    call.note({ revoked: name });
    return { ...UNCHANGED, isRevoked: true };
  }
  if (isRunning) return UNCHANGED;
  const delegation = await policy.findDelegation(name, call.signal).catch((thrown) => {
    const error = CallError.from(thrown);
    if (error.code === Code.NOT_FOUND) refuse(toRefusedDelegation(name, 'absent', error.message));
    throw error;
  });
  const { namespace, serviceAccount } = pod;
  const owner = { namespace, serviceAccount };
  const published = { volumeId, targetPath, delegation, owner, request: requestText(request) };
  const { outcome } = await pinner.publishDelegation(published, call);
  return { ...UNCHANGED, outcome, rules: new Map([[name, decision.rule]]), delegation };

  /** For a new pod. */
  function refuse(refused: RefusedDelegation): void {
    denials.record(pod, [refused]);
    audit.refusedDelegation(request, refused);
  }
}
