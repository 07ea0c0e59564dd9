import { createLimiter, type Limiter } from '../process/limiter.ts';
import type { Pinner } from './pinner.ts';
import type { CallLimits } from './unary-client.ts';

/** More than a node has volumes: limits only an attacker. */
const MAX_QUEUED = 4096;

/**
 * A pinner with at most `maxCalls` concurrent calls on behalf of the kubelet. While a call of the kubelet waits for something else, it does
 * not count. Unpublish calls are limited separately, to half as many, so that pods can always terminate. The rest of the pinner's 64
 * concurrent calls is for probes and for releasing volumes.
 */
export function limitPinner(pinner: Pinner, maxCalls: number): Pinner {
  const working = createLimiter(maxCalls);
  const unpublishing = createLimiter(Math.ceil(maxCalls / 2), MAX_QUEUED);
  return {
    ...pinner,
    publishVolume: limited(working, pinner.publishVolume),
    publishWorkspace: limited(working, pinner.publishWorkspace),
    publishDelegation: limited(working, pinner.publishDelegation),
    allowDelegation: limited(working, pinner.allowDelegation),
    getVolumeStats: limited(working, pinner.getVolumeStats),
    describeVolume: limited(working, pinner.describeVolume),
    describeMap: limited(working, pinner.describeMap),
    listVolumes: (limits) => working.run(limits.signal, () => pinner.listVolumes(limits)),
    unpublishVolume: limited(unpublishing, pinner.unpublishVolume),
  };
}

function limited<Req, Res>(limiter: Limiter, call: (request: Req, limits: CallLimits) => Promise<Res>): typeof call {
  return (request, limits) => limiter.run(limits.signal, () => call(request, limits));
}
