import assert from 'node:assert/strict';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { status as Code } from '@grpc/grpc-js';
import type * as z from 'zod/mini';
import { denialsReportSchema, nodeReportSchema, volumesReportSchema } from '../../src/inspection/reports.ts';
import { Access } from '../../src/rpc/pinner.ts';
import type { NewMap, VolumeContent } from '../../src/volumes/volume.ts';
import { openVolumeDirectory } from '../../src/volumes/volume-directory.ts';
import { CATALOG, call, GRANTS, type Harness, publishRequest, startHarness, until } from './harness.ts';

/** Gets a report, which must be one by its schema, of this node and this moment. */
async function get<T extends { readonly node: string; readonly time: string }>(
  { inspection }: Harness,
  path: string,
  schema: z.ZodMiniType<T>,
): Promise<T> {
  const response = await fetch(`${inspection}${path}`);
  assert.equal(response.status, 200);
  const report = schema.parse(await response.json());
  assert.equal(report.node, 'node-1');
  assert(Math.abs(Date.parse(report.time) - Date.now()) < 60_000);
  return report;
}
const volumes = (harness: Harness) => get(harness, '/volumes', volumesReportSchema);
const denials = (harness: Harness) => get(harness, '/denials', denialsReportSchema);
const nodeReport = (harness: Harness) => get(harness, '/node', nodeReportSchema);

const publish = ({ node }: Harness, change?: Parameters<typeof publishRequest>[0]) =>
  call(node, node.nodePublishVolume, publishRequest(change));

const POD = { namespace: 'prod', name: 'collector-0', serviceAccount: 'collector' };
const MAP = { name: '', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 1, flags: 0, memoryBytes: 4096 };

test('the volumes of the node: whose each is, and what its files are', async () => {
  await using harness = await startHarness();
  const before = Date.now();
  await publish(harness);
  const { volumes: found, volumesLeftOut } = await volumes(harness);
  const [volume, ...others] = found;
  assert(Date.parse(volume?.since ?? '') >= before);
  assert.deepEqual([others, volumesLeftOut], [[], 0]);
  assert.deepEqual(
    { ...volume, since: null },
    {
      name: 'maps',
      volumeId: 'csi-1',
      type: 'maps',
      podUid: '1',
      pod: POD,
      since: null,
      generations: 1,
      files: [
        { path: 'flows', access: 'read', bpfMap: 'flows', map: { ...MAP, id: 1 }, isCurrent: true },
        { path: 'limits', access: 'write', bpfMap: 'limits', map: { ...MAP, id: 2 }, isCurrent: true },
      ],
      refusals: [],
      refusalsLeftOut: 0,
      filesLeftOut: 0,
    },
  );
});

test('a map that was replaced at its source, one whose source is gone, and one without a BpfMap', async () => {
  await using harness = await startHarness();
  await publish(harness);
  const { mapIds } = harness.pinner;
  const current = async () => (await volumes(harness)).volumes[0]?.files.map(({ isCurrent }) => isCurrent);
  mapIds.atSource.set('flows', 7);
  assert.deepEqual(await current(), [false, true]);
  mapIds.atSource.set('flows', 0);
  assert.deepEqual(await current(), [null, true]);
  mapIds.atSource.clear();
  await writeFile(harness.files.catalog, CATALOG.split('---\n')[0] ?? '');
  await until('the new catalog is in use', async () => (await current())?.[1] === null);
  assert.deepEqual(await current(), [true, null]);
});

test('a running pod that lost a map: the volume says which, and why', async () => {
  await using harness = await startHarness();
  await publish(harness);
  const since = (await volumes(harness)).volumes[0]?.since;
  await writeFile(harness.files.grants, GRANTS.replace('resourceNames: [flows, limits,', 'resourceNames: [limits,'));
  await until('the grant is withdrawn', async () => {
    await publish(harness);
    return harness.pinner.files.get(publishRequest().targetPath)?.size === 1;
  });
  const [volume] = (await volumes(harness)).volumes;
  assert.equal(volume?.since, since);
  assert.deepEqual(
    volume?.files.map(({ path }) => path),
    ['limits'],
  );
  const [refusal, ...others] = volume?.refusals ?? [];
  assert.deepEqual([refusal?.bpfMap, refusal?.reason, others], ['flows', 'denied', []]);
  assert.match(refusal?.message ?? '', /^system:serviceaccount:prod:collector may not read map "flows" \(no grant: /);
});

test('after a restart, a volume says what the kernel knows until the kubelet repeats its request', async () => {
  await using harness = await startHarness();
  await publish(harness);
  const { pinner } = harness;
  const other = publishRequest().targetPath.replace('/1/', '/2/');
  const request = pinner.volumes.get(publishRequest().targetPath) ?? assert.fail();
  pinner.volumes.set(other, { ...request, targetPath: other });
  pinner.files.set(other, new Map([['flows', { name: 'flows', mapId: 1, access: Access.READ_ONLY }]]));
  const late = async () => (await volumes(harness)).volumes.find(({ podUid }) => podUid === '2') ?? assert.fail();
  const { type, pod, since, files } = await late();
  assert.deepEqual([type, pod, since], [null, null, null]);
  assert.deepEqual(files, [{ path: 'flows', access: 'read', bpfMap: null, map: { ...MAP, id: 1 }, isCurrent: null }]);
  await publish(harness, (r) => {
    r.targetPath = other;
  });
  const repeated = await late();
  assert.deepEqual([repeated.type, repeated.pod, repeated.since], ['maps', POD, null]);
  assert.equal(repeated.files[0]?.bpfMap, 'flows');
});

test('what a claim brought: a shared volume is always current, a workspace has no source', async () => {
  await using harness = await startHarness();
  const store = openVolumeDirectory(harness.files.volumes ?? '');
  const spec = {
    userNamespace: false,
    accessModes: ['SINGLE_NODE_MULTI_WRITER'] as const,
    capacityBytes: 1 << 20,
    nodeName: 'node-1',
    claim: { namespace: 'prod', name: 'claim' },
  };
  const events: NewMap = { name: 'events', type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 4096, flags: [] };
  const contents: readonly VolumeContent[] = [{ type: 'shared', newMaps: [events] }, { type: 'workspace' }];
  for (const content of contents) {
    const { id } = await store.create({ ...spec, volumeName: content.type, content });
    const { code } = await publish(harness, (r) => {
      r.volumeId = id;
      r.targetPath = `/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/${content.type}/mount`;
      delete r.volumeContext.maps;
      r.volumeContext.type = content.type;
      r.volumeContext['csi.storage.k8s.io/ephemeral'] = 'false';
    });
    assert.equal(code, 'OK');
  }
  const found = (await volumes(harness)).volumes.map(({ name, type, files }) => [name, type, files]);
  assert.deepEqual(found, [
    ['shared', 'shared', [{ path: 'events', access: 'write', bpfMap: null, map: { ...MAP, id: 1 }, isCurrent: true }]],
    ['workspace', 'workspace', []],
  ]);
});

test('a report has a bound, however many volumes and files there are', async () => {
  await using harness = await startHarness();
  const { pinner } = harness;
  for (let pod = 0; pod < 1010; pod++) {
    const targetPath = `/var/lib/kubelet/pods/${pod}/volumes/kubernetes.io~csi/maps/mount`;
    const files = Array.from({ length: 6 }, (_, file) => [
      `f${file}`,
      { name: '', mapId: 1, access: Access.READ_ONLY },
    ]);
    pinner.volumes.set(targetPath, { volumeId: `v${pod}`, targetPath } as never);
    pinner.files.set(targetPath, new Map(files as never));
  }
  const report = await volumes(harness);
  const sum = (of: (volume: (typeof report.volumes)[number]) => number) =>
    report.volumes.reduce((total, volume) => total + of(volume), 0);
  assert.deepEqual([report.volumes.length, report.volumesLeftOut], [1000, 10]);
  assert.deepEqual([sum(({ files }) => files.length), sum(({ filesLeftOut }) => filesLeftOut)], [5000, 1000]);
});

test('a volume that cannot be described is counted; without the pinner there is no report', async () => {
  await using harness = await startHarness();
  await publish(harness);
  harness.pinner.failWith = { code: Code.INTERNAL, details: 'broken', but: 'ListVolumes' };
  const { volumes: found, volumesLeftOut } = await volumes(harness);
  assert.deepEqual([found, volumesLeftOut], [[], 1]);
  await harness.pinner.stop();
  const response = await fetch(`${harness.inspection}/volumes`);
  assert.equal(response.status, 503);
  assert.match(await response.text(), /^pinner at unix:\/\/.* does not answer: .*\n$/);
});

test('what was refused, to whom and why, the latest first', async () => {
  await using harness = await startHarness();
  const ask = (maps: string, pod = 'collector-0') =>
    publish(harness, (r) => {
      r.volumeContext.maps = maps;
      r.volumeContext['csi.storage.k8s.io/pod.name'] = pod;
      r.targetPath = r.targetPath.replace('/1/', `/${pod}/`);
    });
  const { since, denials: none } = await denials(harness);
  assert.deepEqual(none, []);
  harness.pinner.mapIds.atSource.set('flows', 0);
  await ask('keys:rw');
  await ask('flows:rw');
  await ask('flow');
  await ask('flows, limits');
  await ask('keys:rw', 'collector-1');
  const { denials: found, denialsLeftOut, since: still } = await denials(harness);
  assert.deepEqual([denialsLeftOut, still], [0, since]);
  for (const { first, last, namespace, serviceAccount } of found) {
    assert(since <= first && first <= last);
    assert.deepEqual([namespace, serviceAccount], ['prod', 'collector']);
  }
  assert.deepEqual(
    found.map(({ bpfMap, verb, reason, pod, count }) => [bpfMap, verb, reason, pod, count]),
    [
      ['keys', 'write', 'grant', 'collector-1', 2],
      ['flows', 'read', 'sourceMissing', 'collector-0', 1],
      ['flow', 'read', 'absent', 'collector-0', 1],
      ['flows', 'write', 'maxAccess', 'collector-0', 1],
    ],
  );
  const messages = found.map(({ message }) => message);
  assert.match(messages[0] ?? '', /may not write map "keys" \(no grant: allow verb "write" on bpfmaps/);
  assert.equal(messages[1], 'map "flows": nothing is pinned there yet');
  assert.match(messages[2] ?? '', /^there is no BpfMap "flow"; .*flows/);
  assert.match(messages[3] ?? '', /nobody may: its spec.maxAccess is ReadOnly/);
});

test('the node: its versions, its memory, what the driver has made, and every check', async () => {
  await using harness = await startHarness();
  harness.pinner.node = {
    ...harness.pinner.node,
    features: [
      { name: 'mount-beneath', available: false, required: false, description: 'take Linux 6.5' },
      { name: 'read-only-superblock', available: false, required: true, description: 'take Linux 5.15' },
    ],
    pinRoots: [{ path: '/pins', bpfFilesystem: false, problem: 'is no bpf filesystem; mount one' }],
  };
  await publish(harness);
  const report = await nodeReport(harness);
  const pinner = {
    version: '0.1.0',
    kernelRelease: '6.12.0',
    volumes: 1,
    createdMaps: { used: 1, limit: 1024 },
    createdMemoryBytes: { used: 4096, limit: 2 ** 30 },
    workspaces: { used: 0, limit: 256 },
  };
  assert.deepEqual([report.pinner, report.catalog, report.watches], [pinner, { valid: 5, invalid: 0 }, []]);
  assert(report.memoryBytes > 1 << 20 && Date.parse(report.started) <= Date.parse(report.time));
  const check = (what: string) => report.checks.find((one) => one.what === what);
  for (const [what, state, found] of [
    ['pinner', 'ok', /^version 0\.1\.0 answers$/],
    ['pinner log', 'warn', /^3 lines were dropped since its start, .*: look at the node's disk/],
    ['kernel', 'ok', /^Linux 6\.12\.0$/],
    ['kernel: mount-beneath', 'warn', /^take Linux 6\.5$/],
    ['kernel: read-only-superblock', 'fail', /^take Linux 5\.15$/],
    ['pins at /pins', 'warn', /^is no bpf filesystem; mount one$/],
    ['kubelet', 'ok', /^volumes are published in \/var\/lib\/kubelet\/pods$/],
    ['fs.mount-max', 'ok', /mounts in a namespace/],
  ] as const) {
    assert.equal(check(what)?.state, state, what);
    assert.match(check(what)?.found ?? '', found);
  }
  for (const what of ['registration', 'CSIDriver', 'API server', 'seccomp profile'])
    assert.equal(check(what), undefined);
});

test('without the pinner, or its registration, the node says so', async () => {
  await using harness = await startHarness();
  await harness.pinner.stop();
  const { pinner, checks } = await nodeReport(harness);
  assert.equal(pinner, null);
  const [first, ...others] = checks.filter(({ state }) => state === 'fail');
  assert.deepEqual([first?.what, others], ['pinner', []]);
  assert.match(first?.found ?? '', /^pinner at unix:.* does not answer: .*; its log says why \(container pinner\)$/);

  await using waiting = await startHarness({ registrationSocket: join(harness.directory, 'registration.sock') });
  const registration = (await nodeReport(waiting)).checks.find(({ what }) => what === 'registration');
  assert.deepEqual(registration, {
    state: 'fail',
    what: 'registration',
    found: "the kubelet has not registered the driver yet; the kubelet's log says why (journalctl -u kubelet)",
  });
});

test('the installed seccomp profiles are those of this version, or a check says that one is not', async () => {
  await using harness = await startHarness();
  const installed = join(harness.directory, 'bpf-consumer.json');
  await using checked = await startHarness({ seccompProfile: installed });
  const check = async () => {
    const found = (await nodeReport(checked)).checks.find(({ what }) => what === 'seccomp profile');
    return [found?.state, found?.found.replace(installed, 'FILE').replace(loader, 'LOADER').split(':')[0]];
  };
  const loader = join(harness.directory, 'bpf-loader.json');
  const profiles = join(import.meta.dirname, '../../deploy/seccomp');
  assert.deepEqual(await check(), ['warn', 'FILE cannot be read']);
  await copyFile(join(profiles, 'bpf-consumer.json'), installed);
  assert.deepEqual(await check(), ['warn', 'LOADER cannot be read']);
  await copyFile(join(profiles, 'bpf-consumer.json'), loader);
  assert.deepEqual(await check(), ['warn', 'LOADER is not that of this version']);
  await copyFile(join(profiles, 'bpf-loader.json'), loader);
  assert.deepEqual(await check(), ['ok', 'is that of this version']);
  await writeFile(installed, '{}\n');
  assert.deepEqual(await check(), ['warn', 'FILE is not that of this version']);
});

test('nothing is served where the inspection is off', async () => {
  await using harness = await startHarness({ inspection: undefined });
  assert.equal(harness.inspection, 'http://undefined');
  assert.equal((await publish(harness)).code, 'OK');
});

test('the memory of each map, once in each namespace', async () => {
  await using harness = await startHarness();
  for (const pod of ['1', '2']) {
    await publish(harness, (r) => {
      r.targetPath = r.targetPath.replace('/1/', `/${pod}/`);
    });
  }
  const series = async () =>
    (await (await fetch(`${harness.http}/metrics`)).text()).split('\n').filter((line) => /^bpffs_map_mem/.test(line));
  const expected = ['flows', 'limits'].map((map) => `bpffs_map_memory_bytes{namespace="prod",map="${map}"} 4096`);
  assert.deepEqual(await series(), expected);
  // Figures are kept, because to describe all volumes costs too much for each scrape.
  harness.pinner.failWith = { code: Code.INTERNAL, details: 'broken' };
  assert.deepEqual(await series(), expected);
});
