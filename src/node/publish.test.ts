import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY_VOLUME } from '../../test/node-plugin/empty-volume.ts';
import type { Decision } from '../access/access.ts';
import { CallError, Code, failedPrecondition, faultIn, notFound, unauthenticated } from '../errors.ts';
import { parseBpfMap } from '../maps/cluster-bpf-map.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { Call } from '../rpc/adapter.ts';
import { VolumeCapability_AccessMode_Mode as Mode, type NodePublishVolumeRequest } from '../rpc/csi.ts';
import { PublishVolumeResponse_Outcome as Outcome, type VolumeMap } from '../rpc/pinner.ts';
import type { Volume, VolumeSpec } from '../volumes/volume.ts';
import { createDenials } from './denials.ts';
import { createNodeMetrics } from './metrics.ts';
import type { Policy, ResolveSource } from './policy.ts';
import { publish } from './publish.ts';
import type { PublishParts } from './publish-parts.ts';
import { createPublished } from './published.ts';
import { createSourceResolver } from './source-resolver.ts';

const nodeId = 'node-1';
const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };
const request: NodePublishVolumeRequest = {
  volumeId: 'csi-1',
  targetPath: '/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/maps/mount',
  publishContext: {},
  stagingTargetPath: '',
  volumeCapability: {
    accessMode: { mode: Mode.SINGLE_NODE_WRITER },
    mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
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
  /** Thrown by requireTrusted. */
  readonly untrusted?: CallError;
  readonly resolveSource?: ResolveSource;
  /** Thrown by identify. */
  readonly impostor?: CallError;
  readonly proves?: boolean;
  readonly volume?: Volume;
}

/** A cluster with an object "limits" that this version of the driver cannot use. */
function startNode(state: NodeState) {
  const { isRunning, granted, untrusted, resolveSource, impostor, proves = true, volume } = state;
  const maps = new Map([
    ['flows', bpfMap('flows', { source: { pinned: { path: '/sys/fs/bpf/flows' } } })],
    ['limits', bpfMap('limits', { source: { future: {} }, fileName: 'l', maxAccess: 'ReadWrite' })],
  ]);
  const published: VolumeMap[][] = [];
  const policy: Partial<Policy> = {
    catalog: { find: (name) => maps.get(name), names: () => ['flows'] },
    access: {
      check: async (_, name): Promise<Decision> =>
        granted.includes(name) ? { allowed: true, rule: 'a role' } : { allowed: false, remedy: 'ask' },
    },
    resolveSource:
      resolveSource ?? createSourceResolver({ nodeId, volumes: undefined, kept: async () => [], bpfman: undefined }),
    requireTrusted() {
      if (untrusted !== undefined) throw untrusted;
    },
    provesIdentity: proves,
    async identify(said) {
      if (impostor !== undefined) throw impostor;
      return said;
    },
    volumes: { get: async () => volume, list: async () => ({ volumes: [], damaged: [] }) },
  };
  const pinner: Partial<Pinner> = {
    async describeVolume() {
      if (!isRunning) throw notFound('no volume');
      return EMPTY_VOLUME;
    },
    async publishVolume({ maps }) {
      published.push(maps);
      return { outcome: Outcome.REPLACED, changes: [], refusals: [], maps: [] };
    },
  };
  const parts = {
    nodeId,
    policy,
    pinner,
    denials: createDenials(),
    audit: { published() {}, refused() {}, refusedDelegation() {} },
    metrics: createNodeMetrics(),
    published: createPublished(),
  } as unknown as PublishParts;
  const notes: Record<string, unknown> = {};
  const call: Call = {
    signal: new AbortController().signal,
    deadline: Number.POSITIVE_INFINITY,
    note: (fields) => void Object.assign(notes, fields),
    quiet() {},
  };
  return {
    published,
    notes,
    publish: (asked = request) => publish(asked, asked, parts, call),
    /** The samples of a metric that have counted something. */
    async counted(name: string): Promise<readonly string[]> {
      const text = await parts.metrics.render();
      return text.split('\n').filter((line) => line.startsWith(`${name}{`) && !line.endsWith(' 0'));
    },
  };
}

/** "flows" for a map with a source, "flows?" for one without. */
const shown = (maps: readonly VolumeMap[] | undefined) =>
  maps?.map(({ fileName, source }) => `${fileName}${source === null ? '?' : ''}`);

const refusal = (code: Code, message: RegExp) => (error: unknown) => {
  assert(error instanceof CallError);
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

test('a new pod gets no map with an invalid BpfMap', async () => {
  const { publish, published, counted, notes } = startNode({ isRunning: false, granted: ['flows', 'limits'] });
  const unusable = refusal(Code.FAILED_PRECONDITION, /^BpfMap "limits" cannot be used: spec\.source/);
  await assert.rejects(publish(), unusable);
  assert.deepEqual(published, []);
  assert.deepEqual(await counted('bpffs_map_refusals_total'), [
    'bpffs_map_refusals_total{reason="sourceUnusable",pod="new"} 1',
  ]);
  assert.deepEqual(notes, {});
});

test('a volume of any type is only for the pod that proves its identity', async () => {
  const impostor = unauthenticated("the service account token is another's");
  for (const type of ['maps', 'shared', 'workspace']) {
    const volumeContext = { ...request.volumeContext, type, 'csi.storage.k8s.io/ephemeral': 'false' };
    if (type !== 'maps') Reflect.deleteProperty(volumeContext, 'maps');
    const asked = { ...request, volumeId: 'pvc-1-00000000', volumeContext };
    const node = startNode({ isRunning: false, granted: ['flows'], impostor });
    await assert.rejects(
      node.publish(asked),
      refusal(Code.UNAUTHENTICATED, /^the service account token is another's$/),
    );
    assert.deepEqual(node.published, []);
    const running = startNode({ isRunning: true, granted: ['flows'], impostor });
    await assert.rejects(running.publish(asked), refusal(Code.UNAVAILABLE, /another's$/));
    assert.deepEqual(running.published, []);
  }
});

test('where pods prove their identity, a persistent volume must name its claim', async () => {
  const spec: VolumeSpec = {
    volumeName: 'pvc-1',
    content: { type: 'shared', newMaps: [] },
    userNamespace: false,
    accessModes: [],
    capacityBytes: 0,
    nodeName: nodeId,
    claim: undefined,
  };
  const volume: Volume = { id: shared.volumeId, createdAt: new Date(), binding: undefined, spec };
  const cluster = startNode({ isRunning: false, granted: [], volume });
  const anybodys = refusal(
    Code.FAILED_PRECONDITION,
    /does not say for which claim it was made.*--extra-create-metadata/,
  );
  await assert.rejects(cluster.publish(shared), anybodys);
  assert.deepEqual(cluster.published, []);
  const machine = startNode({ isRunning: false, granted: [], volume, proves: false });
  await machine.publish(shared);
  assert.equal(machine.published.length, 1);
});

const shared = { ...request, volumeId: 'pvc-1-00000000', volumeContext: { type: 'shared' } };
for (const [what, asked] of Object.entries({ request, shared })) {
  test(`${what}: nothing is published while requests are not trusted, and running pods keep their volumes`, async () => {
    const untrusted = failedPrecondition('podInfoOnMount must be true');
    const fresh = startNode({ isRunning: false, granted: ['flows'], untrusted });
    await assert.rejects(fresh.publish(asked), refusal(Code.FAILED_PRECONDITION, /podInfoOnMount/));
    const running = startNode({ isRunning: true, granted: ['flows'], untrusted });
    await assert.rejects(running.publish(asked), refusal(Code.UNAVAILABLE, /podInfoOnMount/));
    assert.deepEqual([...fresh.published, ...running.published], []);
  });
}

test('the error of an invalid request is final before the pod runs, and not after', async () => {
  const asked = { ...request, volumeContext: { ...request.volumeContext, maps: 'Flows!' } };
  const fresh = startNode({ isRunning: false, granted: [] });
  await assert.rejects(fresh.publish(asked), refusal(Code.INVALID_ARGUMENT, /^volumeAttributes\.maps: "Flows!"/));
  const running = startNode({ isRunning: true, granted: [] });
  await assert.rejects(running.publish(asked), refusal(Code.UNAVAILABLE, /^volumeAttributes\.maps: "Flows!"/));
});

test('a running pod keeps a map with an invalid BpfMap, and loses a map that is no longer granted', async () => {
  const { publish, published, notes, counted } = startNode({ isRunning: true, granted: ['limits'] });
  await publish();
  assert.deepEqual(published.map(shown), [['l?']]);
  const refused = notes.refused as readonly { map: string; reason: string; error: string }[];
  assert.deepEqual(
    refused.map(({ map, reason }) => [map, reason]),
    [
      ['flows', 'denied'],
      ['limits', 'sourceUnusable'],
    ],
  );
  assert.match(refused[1]?.error ?? '', /^BpfMap "limits" cannot be used: spec\.source/);
  assert.deepEqual(await counted('bpffs_map_refusals_total'), [
    'bpffs_map_refusals_total{reason="denied",pod="running"} 1',
    'bpffs_map_refusals_total{reason="sourceUnusable",pod="running"} 1',
  ]);
});

test('a bug in the driver is reported, and does not prevent revocation', async () => {
  const fault = new TypeError('undefined is not a function');
  const resolveSource: ResolveSource = ({ name }) => {
    if (name === 'limits') throw fault;
    return {};
  };
  const isFault = (code: Code) => (error: unknown) => {
    assert(refusal(code, /^unexpected: undefined is not a function$/)(error));
    return faultIn(error as CallError)?.cause === fault;
  };
  const fresh = startNode({ isRunning: false, granted: ['limits'], resolveSource });
  await assert.rejects(fresh.publish(), isFault(Code.INTERNAL));
  assert.deepEqual(fresh.published, []);
  const running = startNode({ isRunning: true, granted: ['limits'], resolveSource });
  await assert.rejects(running.publish(), isFault(Code.UNAVAILABLE));
  assert.deepEqual(running.published.map(shown), [['l?']]);
});
