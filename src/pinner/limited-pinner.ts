import { createLimiter, type Limiter } from '../process/limiter.ts';
import type { Pinner } from './pinner.ts';
import type { CallLimits } from './unary-client.ts';

/** More than a node has volumes, so that it bounds nobody but an intruder. */
const MAX_QUEUED = 4096;

/**
 * The pinner, with at most `most` calls in work on behalf of the kubelet. Whatever else a call of the kubelet waits for, it takes no
 * place here while it does. Unpublishing has places of its own, half as many: pods can end however much is begun. What is left of the
 * 64 calls that the pinner takes is for probes and for keeping house.
 */
export function limitPinner(pinner: Pinner, maxCalls: number): Pinner {
  const working = createLimiter(maxCalls);
  const unpublishing = createLimiter(Math.ceil(maxCalls / 2), MAX_QUEUED);
  return {
    ...pinner,
    publishVolume: limited(working, pinner.publishVolume),
    publishWorkspace: limited(working, pinner.publishWorkspace),
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
