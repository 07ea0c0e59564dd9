import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision } from '../access/access.ts';
import { parseBpfMap } from '../catalog/cluster-bpf-map.ts';
import { CallError, Code, notFound } from '../errors.ts';
import { createNodeMetrics } from '../metrics.ts';
import type { Pinner } from '../pinner/pinner.ts';
import { PublishVolumeResponse_Outcome as Outcome, type VolumeMap } from '../rpc/generated/pinner.ts';
import type { Authority } from './authority.ts';
import { createSourceResolver } from './map-source.ts';
import { type PublishParts, publish } from './publish.ts';
import type { MapsRequest } from './publish-request.ts';
import { createPublished } from './published.ts';

const nodeId = 'node-1';
const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };
const request: MapsRequest = {
  type: 'maps',
  volumeId: 'csi-1',
  targetPath: '/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/maps/mount',
  maps: [
    { name: 'flows', verb: 'read' },
    { name: 'limits', verb: 'write' },
  ],
  gid: undefined,
  userNamespace: false,
  singleTarget: false,
  pod,
};

/** As the API server has it. */
const bpfMap = (name: string, spec: object) =>
  parseBpfMap({
    apiVersion: 'bpffs.dev/v1alpha1',
    kind: 'BpfMap',
    metadata: { name, uid: 'u', resourceVersion: '1', creationTimestamp: '' },
    spec,
  });

/** A cluster whose object "limits" is of no use to this version of the driver. */
function startNode({ isRunning, granted }: { readonly isRunning: boolean; readonly granted: readonly string[] }) {
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
  return { published, publish: () => publish(request, { secrets: {}, volumeContext: {} }, parts, call) };
}

test('a new pod is refused a map whose object cannot be used', async () => {
  const { publish, published } = startNode({ isRunning: false, granted: ['flows', 'limits'] });
  await assert.rejects(publish, (error: CallError) => {
    assert(error instanceof CallError);
    assert.equal(error.code, Code.FAILED_PRECONDITION);
    assert.match(error.message, /^BpfMap "limits" cannot be used: spec\.source/);
    return true;
  });
  assert.deepEqual(published, []);
});

test('a running pod keeps it as it is, and loses another map that is not granted any more', async () => {
  const { publish, published } = startNode({ isRunning: true, granted: ['limits'] });
  await publish();
  const files = published.map((maps) => maps.map(({ fileName, source }) => ({ fileName, source })));
  assert.deepEqual(files, [[{ fileName: 'l', source: undefined }]]);
});
