import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import { limitPinner } from '../pinner/limited-pinner.ts';
import type { Pinner } from '../pinner/pinner.ts';
import { createLimiter } from '../process/limiter.ts';
import type { Call } from '../rpc/adapter.ts';
import { VolumeCapability_AccessMode_Mode as Mode, type NodePublishVolumeRequest } from '../rpc/csi.ts';
import { createLock } from '../rpc/lock.ts';
import { createDenials } from './denials.ts';
import { createNodeMetrics } from './metrics.ts';
import { createNodeService } from './node-service.ts';
import type { Policy } from './policy.ts';
import { createPublished } from './published.ts';

const MAX_CALLS = 4;
const nobodyWaits = new AbortController();
const call: Call = { signal: nobodyWaits.signal, deadline: Number.POSITIVE_INFINITY, note() {}, quiet() {} };

const request = (pod: number): NodePublishVolumeRequest => ({
  volumeId: `csi-${pod}`,
  targetPath: `/var/lib/kubelet/pods/${pod}/volumes/kubernetes.io~csi/maps/mount`,
  publishContext: {},
  stagingTargetPath: '',
  volumeCapability: {
    accessMode: { mode: Mode.SINGLE_NODE_WRITER },
    mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
  },
  readonly: false,
  secrets: {},
  volumeContext: {
    maps: 'flows',
    'csi.storage.k8s.io/ephemeral': 'true',
    'csi.storage.k8s.io/pod.namespace': 'prod',
    'csi.storage.k8s.io/serviceAccount.name': 'collector',
    'csi.storage.k8s.io/pod.name': 'p',
    'csi.storage.k8s.io/pod.uid': `${pod}`,
  },
});

/** A node service whose API server never answers if `isAway`, and whose pinner never finishes publishing. */
function startService(isAway: boolean) {
  const at = { identify: 0, publish: 0 };
  const never = <T>(signal: AbortSignal) =>
    new Promise<T>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const policy: Partial<Policy> = {
    requireTrusted() {},
    async identify(pod, _, signal) {
      at.identify += 1;
      return isAway ? await never<typeof pod>(signal) : pod;
    },
    catalog: { find: () => undefined, names: () => [] },
    access: { check: async () => ({ allowed: true, rule: 'a role' }) },
    volumes: undefined,
  };
  const gone = new CallError(Code.NOT_FOUND, 'no volume');
  const pinner: Partial<Pinner> = {
    describeVolume: async (_, { signal }) => {
      at.publish += 1;
      if (!isAway) await never(signal ?? call.signal);
      throw gone;
    },
    unpublishVolume: async () => {},
    getVolumeStats: async () => Promise.reject(gone),
  };
  const service = createNodeService({
    nodeId: 'node-1',
    policy: policy as Policy,
    events: { record() {} },
    published: createPublished(),
    denials: createDenials(),
    audit: { published() {}, refused() {}, refusedDelegation() {} },
    pinner: limitPinner(pinner as Pinner, MAX_CALLS),
    calls: createLimiter(4 * MAX_CALLS, 0),
    lock: createLock(),
    metrics: createNodeMetrics(),
  });
  const unpublish = async (pod: number) => await service.nodeUnpublishVolume(request(pod), call);
  return { service, at, unpublish };
}

const tick = () => new Promise((resolve) => setImmediate(resolve));

for (const [what, isAway] of [
  ['the API server', true],
  ['the pinner, for a place', false],
] as const) {
  test(`unpublishing works while other calls wait for ${what}`, async () => {
    const { service, at, unpublish } = startService(isAway);
    const late = new AbortController();
    const waiting = Array.from({ length: 3 * MAX_CALLS }, async (_, pod) =>
      service.nodePublishVolume(request(pod), { ...call, signal: late.signal }),
    );
    while (at.identify < 3 * MAX_CALLS) await tick();
    for (let pod = 100; pod < 100 + 4 * MAX_CALLS; pod++) assert.deepEqual(await unpublish(pod), {});
    // A call that waits for something else occupies no place at the pinner.
    assert(at.publish <= MAX_CALLS);
    if (isAway) {
      const stats = { volumeId: 'a', volumePath: '/a', stagingTargetPath: '' };
      await assert.rejects(async () => service.nodeGetVolumeStats(stats, call), { code: Code.NOT_FOUND });
    }
    late.abort(new CallError(Code.DEADLINE_EXCEEDED, 'the deadline passed'));
    for (const outcome of await Promise.allSettled(waiting)) assert.equal(outcome.status, 'rejected');
  });
}

test('a call beyond the limit is RESOURCE_EXHAUSTED, and unpublishing works all the same', async () => {
  const { service, at, unpublish } = startService(true);
  const late = new AbortController();
  const publish = async (pod: number) => service.nodePublishVolume(request(pod), { ...call, signal: late.signal });
  const waiting = Array.from({ length: 4 * MAX_CALLS }, (_, pod) => publish(pod));
  while (at.identify < 4 * MAX_CALLS) await tick();
  await assert.rejects(publish(99), {
    code: Code.RESOURCE_EXHAUSTED,
    message: `busy: ${4 * MAX_CALLS} calls are in work; try again`,
  });
  assert.deepEqual(await unpublish(100), {});
  late.abort(new CallError(Code.CANCELLED, 'the caller went away'));
  await Promise.allSettled(waiting);
});
