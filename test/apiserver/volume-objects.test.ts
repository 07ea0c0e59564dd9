import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { CallError, Code } from '../../src/errors.ts';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import type { VolumeOwner, VolumeSpec, Workload } from '../../src/volumes/volume.ts';
import { createVolumeObjects } from '../../src/volumes/volume-objects.ts';
import { type FollowedVolumes, followVolumeObjects } from '../../src/volumes/volume-objects-followed.ts';
import type { VolumeStore } from '../../src/volumes/volume-store.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { type Cable, layCable } from './cable.ts';

const CRD = new URL('../../deploy/chart/crds/bpffs.dev_bpfvolumes.yaml', import.meta.url);
const BPF_VOLUMES = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfvolumes' };

let api: ApiServer;
let cable: Cable;
let client: KubernetesClient;
let controller: KubernetesClient;
let store: VolumeStore;
let node: FollowedVolumes;

before(async () => {
  api = await startApiServer();
  await api.kubectl(['apply', `--filename=${CRD.pathname}`]);
  await api.kubectl(['wait', '--for=condition=Established', 'crd/bpfvolumes.bpffs.dev']);
  cable = await layCable(api.port);
  const rule = { apiGroups: ['bpffs.dev'], resources: ['bpfvolumes'] };
  client = await api.clientFor('node-plugin', [{ ...rule, verbs: ['get', 'list', 'watch'] }], cable.port);
  controller = await api.clientFor('controller', [{ ...rule, verbs: ['get', 'list', 'create', 'patch', 'delete'] }]);
  store = createVolumeObjects(controller);
  node = follow('node-1');
  await node.synced();
});
after(async () => {
  node?.close();
  cable?.close();
  await api?.stop();
});

const follow = (nodeName: string, maxStalenessSeconds = 300) =>
  followVolumeObjects({
    client,
    nodeName,
    maxStalenessSeconds,
    timing: { minBackoffMs: 50, maxBackoffMs: 500, idleTimeoutMs: 1000 },
  });

const workspace = (volumeName: string, nodeName = 'node-1'): VolumeSpec => ({
  volumeName,
  content: { type: 'workspace' },
  userNamespace: false,
  accessModes: ['SINGLE_NODE_WRITER'],
  capacityBytes: 0,
  nodeName,
  claim: { namespace: 'prod', name: 'agent' },
});
const shared: VolumeSpec = {
  ...workspace('pvc-shared'),
  content: {
    type: 'shared',
    newMaps: [
      { name: 'counts', type: 'array', keySize: 4, valueSize: 8, maxEntries: 4, flags: ['BPF_F_MMAPABLE'] },
      {
        ...{ name: 'maps', type: 'array_of_maps', keySize: 4, valueSize: 4, maxEntries: 2, flags: [] },
        inner: { type: 'hash', keySize: 4, valueSize: 4, maxEntries: 2, flags: [] },
      },
    ],
  },
  userNamespace: true,
  capacityBytes: 8192,
};
const maps: VolumeSpec = {
  ...workspace('Not a Kubernetes name'),
  content: { type: 'maps', maps: 'flows, limits:rw' },
  nodeName: undefined,
  claim: undefined,
};

const ids = (volumes: readonly { readonly id: string }[]) => volumes.map(({ id }) => id);
const is =
  (code: Code, message = /./) =>
  (error: unknown) =>
    error instanceof CallError && error.code === code && message.test(error.message);

const owner: VolumeOwner = { pod: 'agent-x', volume: 'pins', serviceAccount: 'agent' };
const daemonSet: Workload = { kind: 'DaemonSet', name: 'agent', uid: '0123' };

test('what is created is what is read, and creating again gives the same', async () => {
  const owned: VolumeSpec = { ...workspace('pvc-1'), owner: { ...owner, workload: daemonSet } };
  const unproven: VolumeSpec = { ...workspace('pvc-1'), owner, ownerProblem: 'pod net/agent-x belongs to no workload' };
  for (const spec of [workspace('pvc-1'), owned, unproven, shared, maps]) {
    const made = await store.create(spec);
    assert.deepEqual(made.spec, spec);
    assert(Math.abs(made.createdAt.getTime() - Date.now()) < 10_000);
    assert.deepEqual(await store.get(made.id), made);
    assert.deepEqual(await store.create({ ...spec, accessModes: [] }), made, 'it is left as it is');
    await store.delete(made.id);
    assert.equal(await store.get(made.id), undefined);
    await store.delete(made.id);
  }
});

test('of many that create the same one, each gets the same volume', async () => {
  const made = await Promise.all(Array.from({ length: 20 }, () => store.create(workspace('pvc-race'))));
  assert.equal(new Set(ids(made)).size, 1);
  await store.delete(made[0]?.id ?? '');
});

test('a namesake is another volume', async () => {
  const first = await store.create(workspace('pvc-again'));
  await store.delete(first.id);
  const second = await store.create(workspace('pvc-again'));
  assert.notEqual(first.id, second.id);
  assert.equal(await store.get(first.id), undefined);
  await store.delete(first.id);
  assert.deepEqual(await store.get(second.id), second);
  for (const id of ['', 'pvc-again', 'csi-0', '../x']) assert.equal(await store.get(id), undefined);
  await store.delete(second.id);
});

test('what lives in memory outlives a hasty hand', async () => {
  const volume = await store.create(workspace('pvc-hasty'));
  await api.kubectl(['delete', 'bpfvolume', 'pvc-hasty', '--wait=false']);
  await api.kubectl(['delete', 'bpfvolume', 'pvc-hasty', '--wait=false', '--grace-period=0', '--force']);
  assert.deepEqual(await store.get(volume.id), volume);
  assert.deepEqual(await node.get(volume.id), volume);
  assert.deepEqual(await store.create(volume.spec), volume);
  await store.delete(volume.id);
  assert.equal(await store.get(volume.id), undefined);
  const nowhere = await store.create(maps);
  await api.kubectl(['delete', 'bpfvolume', nowhere.id.slice(0, -9)]);
  assert.equal(await store.get(nowhere.id), undefined);
});

test("the finalizers of others are theirs, and the volume isn't gone before they are", async () => {
  const volume = await store.create(workspace('pvc-held'));
  const metadata = { finalizers: ['example.com/backup', 'bpffs.dev/volume-protection'] };
  await api.admin.patch(BPF_VOLUMES, { name: 'pvc-held' }, { metadata });
  const held = /^BpfVolume pvc-held is deleted once its other finalizers are gone: example\.com\/backup$/;
  for (let n = 0; n < 2; n += 1) await assert.rejects(store.delete(volume.id), is(Code.UNAVAILABLE, held));
  assert.deepEqual(await store.get(volume.id), volume);
  await api.admin.patch(BPF_VOLUMES, { name: 'pvc-held' }, { metadata: { finalizers: [] } });
  await store.delete(volume.id);
  assert.equal(await store.get(volume.id), undefined);
});

test('a volume that is deleted or changed in between is asked for again', async () => {
  const volume = await store.create(workspace('pvc-brief'));
  let between = () => store.delete(volume.id);
  const late = createVolumeObjects({
    ...controller,
    async get(...args) {
      const object = await controller.get(...args);
      await between();
      return object;
    },
    async create(...args) {
      const created = controller.create(...args);
      await created.catch(between);
      return await created;
    },
  });
  const label = async () => {
    await api.admin.patch(BPF_VOLUMES, { name: 'pvc-brief' }, { metadata: { labels: { n: `${Math.random()}` } } });
  };
  between = label;
  await assert.rejects(late.delete(volume.id), is(Code.ABORTED));
  between = () => store.delete(volume.id);
  await late.delete(volume.id);
  await store.create(workspace('pvc-brief'));
  between = async () => {
    const { metadata } = await api.admin.get(BPF_VOLUMES, { name: 'pvc-brief' });
    await store.delete(`pvc-brief-${metadata.uid.slice(0, 8)}`);
  };
  await assert.rejects(
    late.create(workspace('pvc-brief')),
    is(Code.UNAVAILABLE, /^volume pvc-brief was deleted while it was created; try again$/),
  );
});

test('all are listed, however many', async () => {
  const made = await Promise.all(
    Array.from({ length: 520 }, (_, index) => store.create(workspace(`pvc-many-${index}`))),
  );
  const { volumes, damaged } = await store.list();
  assert.deepEqual(ids(volumes), ids(made).sort());
  assert.deepEqual(damaged, []);
  await eventually('the node has them', 5, async () => (await node.list()).volumes.length === made.length);
  await Promise.all(ids(made).map(store.delete));
  await eventually('the node has none', 5, async () => (await node.list()).volumes.length === 0);
});

test('a node follows its own, and knows of others when it is asked', async () => {
  const [mine, other, everywhere] = [
    await store.create(workspace('pvc-mine')),
    await store.create(workspace('pvc-other', 'node-2')),
    await store.create(maps),
  ];
  // Before its own copy can have it.
  assert.deepEqual(await node.get(mine.id), mine);
  await eventually('it follows', 5, async () => (await node.list()).volumes.length === 1);
  assert.deepEqual((await node.list()).volumes, [mine]);
  assert.deepEqual(await node.get(other.id), other);
  assert.deepEqual(await node.get(everywhere.id), everywhere);
  await store.delete(mine.id);
  await eventually('it is gone', 5, async () => (await node.get(mine.id)) === undefined);
  await store.delete(other.id);
  await store.delete(everywhere.id);
});

test('when the API server is away nothing is said to be absent', async () => {
  const volume = await store.create(workspace('pvc-kept'));
  await eventually('it follows', 5, async () => (await node.list()).volumes.length === 1);
  const late = follow('node-1', 2);
  await late.synced();
  cable.cut();
  const unsynced = follow('node-1');
  await assert.rejects(unsynced.get(volume.id), is(Code.UNAVAILABLE));
  await assert.rejects(unsynced.list(), is(Code.UNAVAILABLE, /^nothing is known of bpfvolumes\.bpffs\.dev yet/));
  assert.deepEqual(await late.get(volume.id), volume, 'what is known is known for a while');
  await assert.rejects(late.get('pvc-gone-01234567'), is(Code.UNAVAILABLE));
  await eventually('its copy is too old', 10, async () => {
    await assert.rejects(late.get(volume.id), is(Code.UNAVAILABLE));
    await assert.rejects(late.list(), is(Code.UNAVAILABLE, /^nothing is known of bpfvolumes\.bpffs\.dev for/));
    return true;
  });
  cable.mend();
  await unsynced.synced();
  await eventually('all is well', 10, async () => (await late.list()).volumes.length === 1);
  assert.equal(await late.get('pvc-gone-01234567'), undefined);
  late.close();
  unsynced.close();
  await store.delete(volume.id);
});

test('an object that is none is named, and harms no other', async () => {
  const good = await store.create(workspace('pvc-good'));
  const crd = parse(await readFile(CRD, 'utf8'));
  const spec = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  crd.spec.versions[0].schema.openAPIV3Schema = { type: 'object', properties: { spec } };
  crd.spec.versions[0].selectableFields = [];
  await api.kubectl(['apply', '--filename=-'], stringify(crd));
  const object = {
    apiVersion: 'bpffs.dev/v1alpha1',
    kind: 'BpfVolume',
    metadata: { name: 'pvc-bad', finalizers: ['bpffs.dev/volume-protection'] },
  };
  await eventually('the CRD is in force', 10, async () => {
    await api.apply({ ...object, spec: { volumeName: 'pvc-bad', type: 'other' } });
    return true;
  });
  const other = { volumeName: 'pvc-b', type: 'maps', maps: 'flows', accessModes: ['SINGLE_NODE_WRITER'] };
  await api.apply({ ...object, metadata: { name: 'pvc-a' }, spec: other });
  const { volumes, damaged } = await store.list();
  assert.deepEqual(volumes, [good]);
  assert.equal(damaged.length, 2);
  assert.match(damaged[0] ?? '', /^BpfVolume pvc-a cannot be used: its spec\.volumeName is "pvc-b"; when no pod/);
  const named =
    /^BpfVolume pvc-bad cannot be used: spec\.\S+: .*; when no pod needs the volume any more, delete its Pers/;
  assert.match(damaged[1] ?? '', named);
  await assert.rejects(store.get('pvc-bad-01234567'), is(Code.INTERNAL, named));
  await assert.rejects(store.create(workspace('pvc-bad')), is(Code.INTERNAL, named));
  const { metadata } = await api.admin.get(BPF_VOLUMES, { name: 'pvc-bad' });
  await store.delete(`pvc-bad-${metadata.uid.slice(0, 8)}`);
  assert.equal(await store.get('pvc-bad-01234567'), undefined);
});

test('no CustomResourceDefinition is no absent volume', async () => {
  await api.kubectl(['delete', 'crd', 'bpfvolumes.bpffs.dev', '--wait=false']);
  // The API server marks the objects as deleted meanwhile, so a delete may be ABORTED; external-provisioner retries too.
  await eventually('all are deleted', 10, async () => {
    for (const { id } of (await store.list()).volumes) await store.delete(id);
    return true;
  });
  await eventually('it is gone', 10, async () => {
    await assert.rejects(
      store.get('pvc-good-01234567'),
      is(Code.UNAVAILABLE, /has no bpfvolumes\.bpffs\.dev .*is its CustomResourceDefinition installed/),
    );
    return true;
  });
});
