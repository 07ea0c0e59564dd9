import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { NodePublishVolumeRequest } from '../../src/rpc/csi.ts';
import { Access } from '../../src/rpc/pinner.ts';
import { openVolumeDirectory } from '../../src/volumes/volume-directory.ts';
import { CATALOG, call, GRANTS, type Harness, publishRequest, startHarness, until } from './harness.ts';

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());

const publish = (request: NodePublishVolumeRequest) => call(harness.node, harness.node.nodePublishVolume, request);

/** The pinner's files of the volume, with ":rw" if writable. */
function files({ targetPath }: NodePublishVolumeRequest): readonly string[] {
  const there = harness.pinner.files.get(targetPath) ?? new Map();
  return [...there].map(([path, { access }]) => (access === Access.READ_WRITE ? `${path}:rw` : path));
}

async function metric(series: string): Promise<number> {
  const text = await (await fetch(`${harness.http}/metrics`)).text();
  const line = text.split('\n').find((found) => found.startsWith(`${series} `));
  return Number(line?.slice(series.length) ?? 0);
}

const changes = (reason: string) => metric(`bpffs_volume_changes_total{reason="${reason}"}`);

/** Publishes again, as the kubelet does about every minute, until the volume has these files. */
async function untilFiles(request: NodePublishVolumeRequest, ...expected: readonly string[]): Promise<void> {
  await until(`the volume has ${expected}`, async () => {
    assert.equal((await publish(request)).code, 'OK');
    return files(request).join() === expected.join();
  });
}

test('a running pod loses what it may not have any more, and gets it back', async () => {
  const request = publishRequest();
  assert.equal((await publish(request)).code, 'OK');
  assert.deepEqual(files(request), ['flows', 'limits:rw']);

  writeFileSync(harness.files.grants, GRANTS.replace('resourceNames: [flows, limits,', 'resourceNames: [limits,'));
  await untilFiles(request, 'limits:rw');
  assert.equal(await changes('MapAccessRevoked'), 1);

  writeFileSync(harness.files.grants, GRANTS.replace('verbs: [read, write]', 'verbs: [read]'));
  await untilFiles(request, 'flows', 'limits');
  const denials = (verb: string) => metric(`bpffs_denials_total{verb="${verb}",reason="grant"}`);
  const [written, read] = [await denials('write'), await denials('read')];
  assert.equal((await publish(request)).code, 'OK');
  // Reading is not counted as denied if only writing was withdrawn.
  assert.deepEqual([await denials('write'), await denials('read')], [written + 1, read]);
  assert.equal(await changes('MapAccessRevoked'), 2);
  assert.equal(await changes('MapAccessRestored'), 1);

  writeFileSync(harness.files.grants, '');
  await untilFiles(request);
  writeFileSync(harness.files.grants, GRANTS);
  await untilFiles(request, 'flows', 'limits:rw');

  writeFileSync(harness.files.catalog, CATALOG.replace('name: flows }', 'name: other }'));
  await untilFiles(request, 'limits:rw');
  writeFileSync(harness.files.catalog, CATALOG);
  await untilFiles(request, 'flows', 'limits:rw');
});

test('a new pod is refused what a running one has lost', async () => {
  const [flows, limits] = ['flows', 'limits:rw'].map((maps) =>
    publishRequest((r) => {
      r.volumeId = `csi-new-${maps.slice(0, 5)}`;
      r.targetPath = `/var/lib/kubelet/pods/2/volumes/kubernetes.io~csi/${maps.slice(0, 5)}/mount`;
      r.volumeContext.maps = maps;
    }),
  ) as [NodePublishVolumeRequest, NodePublishVolumeRequest];
  assert.equal((await publish(flows)).code, 'OK');
  writeFileSync(harness.files.grants, '');
  await untilFiles(flows);
  const refused = await publish(limits);
  assert.equal(refused.code, 'PERMISSION_DENIED');
  assert.equal(harness.pinner.volumes.has(limits.targetPath), false);
  writeFileSync(harness.files.grants, GRANTS);
  await untilFiles(flows, 'flows');
});

test('a source that nobody knows at the moment leaves the file as it is, and is logged and counted', async () => {
  const request = publishRequest((r) => {
    r.volumeId = 'csi-agent';
    r.targetPath = '/var/lib/kubelet/pods/3/volumes/kubernetes.io~csi/maps/mount';
    r.volumeContext.maps = 'flows, agent';
  });
  assert.equal((await publish(request)).code, 'UNAVAILABLE');
  const store = openVolumeDirectory(harness.files.volumes ?? '');
  const { id } = await store.create({
    volumeName: 'agent',
    content: { type: 'workspace' },
    userNamespace: false,
    accessModes: ['SINGLE_NODE_MULTI_WRITER'],
    capacityBytes: 0,
    nodeName: 'node-1',
    claim: { namespace: 'net', name: 'agent' },
  });
  assert.equal((await publish(request)).code, 'OK');
  await store.delete(id);
  assert.equal((await publish(request)).code, 'OK');
  assert.deepEqual(files(request), ['flows', 'agent']);
  const missing = (pod: string) => metric(`bpffs_map_refusals_total{reason="sourceMissing",pod="${pod}"}`);
  assert.deepEqual([await missing('new'), await missing('running')], [1, 1]);
  const { level, code, refused } = harness.log.at(-1) ?? {};
  const error =
    'map "agent": no volume on node node-1 belongs to claim net/agent yet: start a pod on this node that mounts the claim';
  const agent = { map: 'agent', reason: 'sourceMissing', error };
  assert.deepEqual([level, code, refused], ['WARN', 'OK', [agent]]);
  // A source that the pinner does not find is reported the same way.
  harness.pinner.mapIds.atSource.set('flows', 0);
  assert.equal((await publish(request)).code, 'OK');
  harness.pinner.mapIds.atSource.clear();
  assert.deepEqual(files(request), ['flows', 'agent']);
  assert.equal(await missing('running'), 3);
  const flows = { map: 'flows', reason: 'sourceMissing', error: 'map "flows": nothing is pinned there yet' };
  assert.deepEqual(harness.log.at(-1)?.refused, [agent, flows]);
});

test('maps that become one file leave it to the one that it came from, and do not hold up the others', async () => {
  const requests = ['limits:rw, flows', 'flows, limits:rw'].map((maps, index) =>
    publishRequest((r) => {
      r.volumeId = `csi-one-file-${index}`;
      r.targetPath = `/var/lib/kubelet/pods/5/volumes/kubernetes.io~csi/maps-${index}/mount`;
      r.volumeContext.maps = maps;
    }),
  );
  for (const request of requests) assert.equal((await publish(request)).code, 'OK');
  // INVALID_ARGUMENT only before the pod runs.
  writeFileSync(
    harness.files.catalog,
    CATALOG.replace('spec: { source: { pinned: { path: /sys/fs/bpf/netobserv/flows } } }', (spec) =>
      spec.replace('} }', '} }, fileName: limits'),
    ),
  );
  for (const request of requests) {
    await untilFiles(request, 'limits:rw');
    const maps = harness.pinner.volumes.get(request.targetPath)?.maps;
    assert.deepEqual(
      maps?.map(({ fileName, source }) => [fileName, source]),
      [
        ['limits', null],
        ['limits', null],
      ],
    );
  }
  writeFileSync(harness.files.catalog, CATALOG);
  for (const request of requests) await untilFiles(request, ...(request.volumeContext.maps?.split(', ') ?? []));
});

test('a BpfMap that is made anew with another source, or has another fileName, is told as that', async () => {
  const request = publishRequest((r) => {
    r.volumeId = 'csi-anew';
    r.targetPath = '/var/lib/kubelet/pods/6/volumes/kubernetes.io~csi/maps/mount';
  });
  assert.equal((await publish(request)).code, 'OK');
  const reasons = ['MapReplaced', 'MapRenamed', 'MapAccessRevoked', 'MapAccessRestored'] as const;
  const changeCounts = async () =>
    Object.fromEntries(await Promise.all(reasons.map(async (r) => [r, await changes(r)] as const)));
  const before = await changeCounts();
  const more = (...which: readonly string[]) =>
    Object.fromEntries(reasons.map((r) => [r, (before[r] ?? 0) + which.filter((one) => one === r).length]));
  writeFileSync(harness.files.catalog, CATALOG.replace('name: flows }', 'name: other }'));
  await untilFiles(request, 'limits:rw');
  assert.deepEqual(await changeCounts(), more('MapAccessRevoked'));
  writeFileSync(harness.files.catalog, CATALOG.replace('netobserv/flows', 'netobserv/others'));
  await untilFiles(request, 'flows', 'limits:rw');
  assert.deepEqual(await changeCounts(), more('MapAccessRevoked', 'MapReplaced'));
  writeFileSync(
    harness.files.catalog,
    CATALOG.replace('netobserv/flows } } }', 'netobserv/others } }, fileName: flows-2 }'),
  );
  await untilFiles(request, 'flows-2', 'limits:rw');
  assert.deepEqual(await changeCounts(), more('MapAccessRevoked', 'MapReplaced', 'MapRenamed'));
  writeFileSync(harness.files.catalog, CATALOG);
  await untilFiles(request, 'flows', 'limits:rw');
});

test('no error is final for a volume that is there, but ALREADY_EXISTS', async () => {
  const request = publishRequest((r) => {
    r.volumeId = 'csi-there';
    r.targetPath = '/var/lib/kubelet/pods/4/volumes/kubernetes.io~csi/maps/mount';
  });
  assert.equal((await publish(request)).code, 'OK');
  const { code, message } = await publish({ ...request, volumeContext: { ...request.volumeContext, maps: 'Flows!' } });
  assert.equal(code, 'UNAVAILABLE');
  assert.match(message, /^volumeAttributes\.maps: "Flows!" is no BpfMap name/);
  request.volumeContext.maps = 'flows';
  assert.equal((await publish(request)).code, 'ALREADY_EXISTS');
});
