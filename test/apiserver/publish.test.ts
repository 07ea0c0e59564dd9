import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { PodIdentity } from '../../src/access/access.ts';
import { CallError, Code, notFound } from '../../src/errors.ts';
import { createLogger } from '../../src/logger.ts';
import { openClusterPolicy } from '../../src/node/cluster-policy.ts';
import { createDenials } from '../../src/node/denials.ts';
import { createNodeMetrics } from '../../src/node/metrics.ts';
import type { OpenPolicy } from '../../src/node/policy.ts';
import { publish } from '../../src/node/publish.ts';
import type { PublishParts } from '../../src/node/publish-parts.ts';
import { createPublished } from '../../src/node/published.ts';
import type { Pinner } from '../../src/pinner/pinner.ts';
import type { NodePublishVolumeRequest } from '../../src/rpc/csi.ts';
import { PublishVolumeResponse_Outcome as Outcome } from '../../src/rpc/pinner.ts';
import type { VolumeContent, VolumeSpec } from '../../src/volumes/volume.ts';
import { createVolumeObjects } from '../../src/volumes/volume-objects.ts';
import { publishRequest } from '../node-plugin/harness.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { AUDIENCE, makePod, NODE, podToken } from './pods.ts';

const SHARED: VolumeContent = {
  type: 'shared',
  newMaps: [{ name: 'events', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 16, flags: [] }],
};

let api: ApiServer;
let opened: OpenPolicy;
/** What was published: type and volume id. */
const published: string[] = [];

before(async () => {
  api = await startApiServer();
  for (const crd of ['bpfmaps', 'bpfvolumes']) {
    const text = await readFile(new URL(`../../deploy/chart/crds/bpffs.dev_${crd}.yaml`, import.meta.url), 'utf8');
    await api.apply(...parseAllDocuments(text).map((document) => document.toJS() as object));
  }
  await api.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
  await api.apply({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: { name: AUDIENCE },
    spec: {
      attachRequired: false,
      podInfoOnMount: true,
      requiresRepublish: true,
      tokenRequests: [{ audience: AUDIENCE }],
      fsGroupPolicy: 'File',
      volumeLifecycleModes: ['Ephemeral', 'Persistent'],
    },
  });
  const names = { driverName: AUDIENCE, nodeId: NODE, kept: async () => [] };
  const config = { kind: 'cluster' as const, kubeconfig: api.kubeconfig };
  opened = openClusterPolicy(config, names, createLogger('error'), createNodeMetrics());
  await opened.synced;
});
after(async () => {
  await opened?.close();
  await api?.stop();
});

const pinner: Partial<Pinner> = {
  async describeVolume() {
    throw notFound('no volume');
  },
  async publishVolume({ volumeId }) {
    published.push(`shared ${volumeId}`);
    return { outcome: Outcome.CREATED, changes: [], refusals: [], maps: [] };
  },
  async publishWorkspace({ volumeId }) {
    published.push(`workspace ${volumeId}`);
    return { outcome: Outcome.CREATED, changes: [], refusals: [], maps: [] };
  },
};

const publishTo = (request: NodePublishVolumeRequest) => {
  const parts = {
    nodeId: NODE,
    ...opened,
    published: createPublished(),
    denials: createDenials(),
    audit: { published() {}, refused() {}, refusedDelegation() {} },
    pinner,
    metrics: createNodeMetrics(),
  };
  const call = { signal: AbortSignal.timeout(10_000), deadline: Number.POSITIVE_INFINITY, note() {}, quiet() {} };
  return publish(request, request, parts as unknown as PublishParts, call);
};

async function refused(request: NodePublishVolumeRequest, code: Code, message: RegExp): Promise<void> {
  const before = [...published];
  await assert.rejects(publishTo(request), (error) => {
    assert(error instanceof CallError, String(error));
    assert.equal(Code[error.code], Code[code], error.message);
    assert.match(error.message, message);
    return true;
  });
  assert.deepEqual(published, before);
}

let volumes = 0;
async function makeVolume(content: VolumeContent, change: Partial<VolumeSpec> = {}): Promise<string> {
  volumes += 1;
  const { id } = await createVolumeObjects(api.admin).create({
    volumeName: `pvc-${volumes}`,
    content,
    userNamespace: false,
    accessModes: ['SINGLE_NODE_MULTI_WRITER'],
    capacityBytes: 0,
    nodeName: NODE,
    claim: { namespace: 'prod', name: `claim-${volumes}` },
    ...change,
  });
  return id;
}

/** The kubelet's request for a pod's volume, with a token of `tokenPod`. */
async function requestOf(volumeId: string, type: string, pod: PodIdentity, tokenPod: PodIdentity | undefined = pod) {
  const tokens = tokenPod && JSON.stringify({ [AUDIENCE]: { token: await podToken(api, tokenPod) } });
  return publishRequest((request) => {
    request.volumeId = volumeId;
    request.secrets = tokens === undefined ? {} : { 'csi.storage.k8s.io/serviceAccount.tokens': tokens };
    request.volumeContext = {
      type,
      'csi.storage.k8s.io/ephemeral': 'false',
      'csi.storage.k8s.io/pod.namespace': pod.namespace,
      'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
      'csi.storage.k8s.io/pod.name': pod.podName,
      'csi.storage.k8s.io/pod.uid': pod.podUid,
    };
  });
}

for (const content of [SHARED, { type: 'workspace' } as const]) {
  const { type } = content;
  test(`a ${type} volume is for the pod whose token comes with the request`, async () => {
    const pod = await makePod(api, 'prod', `${type}-0`, 'app');
    const other = await makePod(api, 'dev', `${type}-0`, 'app');
    const id = await makeVolume(content);
    await publishTo(await requestOf(id, type, pod));
    assert.equal(published.at(-1), `${type} ${id}`);
    const posing = await requestOf(id, type, pod, other);
    await refused(posing, Code.UNAUTHENTICATED, /^the service account token is another's: its service account is /);
    const without = await requestOf(id, type, pod);
    without.secrets = {};
    await refused(without, Code.UNAUTHENTICATED, /^the kubelet sent no service account token of the pod/);
    const nobody = await requestOf(id, type, pod);
    delete nobody.volumeContext['csi.storage.k8s.io/pod.uid'];
    await refused(nobody, Code.UNAUTHENTICATED, /^the kubelet did not say whose volume it is.*podInfoOnMount: true$/);
  });

  test(`a ${type} volume that says of no claim is nobody's`, async () => {
    const pod = await makePod(api, 'prod', `${type}-1`, 'app');
    const id = await makeVolume(content, { claim: undefined });
    await refused(await requestOf(id, type, pod), Code.FAILED_PRECONDITION, /does not say for which claim it was made/);
  });
}
