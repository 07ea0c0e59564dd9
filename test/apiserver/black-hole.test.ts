import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { eventually } from '../cluster/eventually.ts';
import { call, publishRequest, startHarness } from '../node-plugin/harness.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { AUDIENCE } from './pods.ts';

let api: ApiServer;
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
      volumeLifecycleModes: ['Ephemeral', 'Persistent'],
    },
  });
});
after(() => api?.stop());

/** A pod with its own token, which no review has cached. */
const request = (pod: number) =>
  publishRequest((r) => {
    r.volumeId = `csi-${pod}`;
    r.targetPath = `/var/lib/kubelet/pods/${pod}/volumes/kubernetes.io~csi/maps/mount`;
    r.secrets = { 'csi.storage.k8s.io/serviceAccount.tokens': JSON.stringify({ [AUDIENCE]: { token: `t-${pod}` } }) };
  });

test('pods end while many others wait for an API server that says nothing', async () => {
  const policy = { kind: 'cluster', kubeconfig: api.kubeconfig } as const;
  await using harness = await startHarness({ policy, maxCalls: 4, maxQueuedCalls: 60 });
  const { node, http } = harness;
  await eventually('it is ready', 30, async () => (await fetch(`${http}/readyz`)).status === 200);
  const inFlight = async () =>
    Number(/^bpffs_csi_calls_in_flight (\d+)$/m.exec(await (await fetch(`${http}/metrics`)).text())?.[1]);
  await api.freeze(true);
  try {
    const late = { deadline: Date.now() + 8000 };
    const waiting = Array.from({ length: 40 }, (_, pod) => call(node, node.nodePublishVolume, request(pod), late));
    await eventually('all are there', 5, async () => (await inFlight()) === 40);
    for (let pod = 100; pod < 140; pod += 1) {
      assert.equal((await call(node, node.nodeUnpublishVolume, request(pod))).code, 'OK');
    }
    assert.equal(await inFlight(), 40);
    for (const { code } of await Promise.all(waiting)) assert.equal(code, 'DEADLINE_EXCEEDED');
    await eventually('none is there', 5, async () => (await inFlight()) === 0);
    const line = harness.log.find(({ method, code }) => method === 'NodePublishVolume' && code !== 'OK');
    assert.match(String(line?.error), / while waiting for the API server to say who the pod is$/);
  } finally {
    await api.freeze(false);
  }
});
