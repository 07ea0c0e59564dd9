import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision } from '../access/access.ts';
import { parseBpfMap } from '../catalog/cluster-bpf-map.ts';
import { CallError, Code, failedPrecondition, notFound } from '../errors.ts';
import { createNodeMetrics } from '../metrics.ts';
import type { Pinner } from '../pinner/pinner.ts';
import { VolumeCapability_AccessMode_Mode as Mode, type NodePublishVolumeRequest } from '../rpc/generated/csi.ts';
import { PublishVolumeResponse_Outcome as Outcome, type VolumeMap } from '../rpc/generated/pinner.ts';
import type { Authority } from './authority.ts';
import { createSourceResolver } from './map-source.ts';
import { type PublishParts, publish } from './publish.ts';
import { createPublished } from './published.ts';

const nodeId = 'node-1';
const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };
const request: NodePublishVolumeRequest = {
  volumeId: 'csi-1',
  targetPath: '/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/maps/mount',
  publishContext: {},
  stagingTargetPath: '',
  volumeCapability: {
    accessMode: { mode: Mode.SINGLE_NODE_WRITER },
    accessType: { $case: 'mount', value: { fsType: '', mountFlags: [], volumeMountGroup: '' } },
  },
  readonly: false,
  secrets: {},
  volumeContext: {
    maps: 'flows, limits:rw',
    'csi.storage.k8s.io/ephemeral': 'true',
    'csi.storage.k8s.io/pod.namespace': pod.namespace,
    'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
    'csi.storage.k8s.io/pod.name': pod.podName,
    'csi.storage.k8s.io/pod.uid': pod.podUid,
  },
};

/** As the API server has it. */
const bpfMap = (name: string, spec: object) =>
  parseBpfMap({
    apiVersion: 'bpffs.dev/v1alpha1',
    kind: 'BpfMap',
    metadata: { name, uid: 'u', resourceVersion: '1', creationTimestamp: '' },
    spec,
  });

interface NodeState {
  readonly isRunning: boolean;
  readonly granted: readonly string[];
  /** Thrown while nobody can tell what a request's word is worth. */
  readonly untrusted?: CallError;
}

/** A cluster whose object "limits" is of no use to this version of the driver. */
function startNode({ isRunning, granted, untrusted }: NodeState) {
  const maps = new Map([
    ['flows', bpfMap('flows', { source: { pinned: { path: '/sys/fs/bpf/flows' } } })],
    ['limits', bpfMap('limits', { source: { future: {} }, fileName: 'l', maxAccess: 'ReadWrite' })],
  ]);
  const published: VolumeMap[][] = [];
  const authority: Partial<Authority> = {
    catalog: { find: (name) => maps.get(name), names: () => ['flows'] },
    access: {
      check: async (_, name): Promise<Decision> =>
        granted.includes(name) ? { allowed: true } : { allowed: false, remedy: 'ask' },
    },
    resolveSource: createSourceResolver({ nodeId, volumes: undefined, bpfman: undefined }),
    requireTrusted() {
      if (untrusted !== undefined) throw untrusted;
    },
    identify: async () => pod,
  };
  const pinner: Partial<Pinner> = {
    async describeVolume() {
      if (!isRunning) throw notFound('no volume');
      return { workspace: false, files: [], generations: 1 };
    },
    async publishVolume({ maps }) {
      published.push(maps);
      return { outcome: Outcome.REPLACED, changes: [] };
    },
  };
  const parts = {
    nodeId,
    authority,
    pinner,
    metrics: createNodeMetrics(),
    published: createPublished(),
  } as PublishParts;
  const call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY };
  return { published, publish: (asked = request) => publish(asked, asked, parts, call) };
}

const refusal = (code: Code, message: RegExp) => (error: unknown) => {
  assert(error instanceof CallError);
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

test('a new pod is refused a map whose object cannot be used', async () => {
  const { publish, published } = startNode({ isRunning: false, granted: ['flows', 'limits'] });
  const unusable = refusal(Code.FAILED_PRECONDITION, /^BpfMap "limits" cannot be used: spec\.source/);
  await assert.rejects(publish(), unusable);
  assert.deepEqual(published, []);
});

const shared = { ...request, volumeId: 'pvc-1-00000000', volumeContext: { type: 'shared' } };
for (const [what, asked] of Object.entries({ request, shared })) {
  test(`${what}: nothing is published while requests cannot be believed, and running pods keep what they have`, async () => {
    const untrusted = failedPrecondition('podInfoOnMount must be true');
    const fresh = startNode({ isRunning: false, granted: ['flows'], untrusted });
    await assert.rejects(fresh.publish(asked), refusal(Code.FAILED_PRECONDITION, /podInfoOnMount/));
    const running = startNode({ isRunning: true, granted: ['flows'], untrusted });
    await assert.rejects(running.publish(asked), refusal(Code.UNAVAILABLE, /podInfoOnMount/));
    assert.deepEqual([...fresh.published, ...running.published], []);
  });
}

test('a request that nobody could make is final before the pod runs, and not after', async () => {
  const asked = { ...request, volumeContext: { ...request.volumeContext, maps: 'Flows!' } };
  const fresh = startNode({ isRunning: false, granted: [] });
  await assert.rejects(fresh.publish(asked), refusal(Code.INVALID_ARGUMENT, /^volumeAttributes\.maps: "Flows!"/));
  const running = startNode({ isRunning: true, granted: [] });
  await assert.rejects(running.publish(asked), refusal(Code.UNAVAILABLE, /^volumeAttributes\.maps: "Flows!"/));
});

test('a running pod keeps it as it is, and loses another map that is not granted any more', async () => {
  const { publish, published } = startNode({ isRunning: true, granted: ['limits'] });
  await publish();
  const files = published.map((maps) => maps.map(({ fileName, source }) => ({ fileName, source })));
  assert.deepEqual(files, [[{ fileName: 'l', source: undefined }]]);
});
