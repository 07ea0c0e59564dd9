import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keepVolumes, type VolumeKeeper } from '../../src/controller/volume-keeper.ts';
import { createLogger } from '../../src/logger.ts';
import type { Volume, VolumeSpec } from '../../src/volumes/volume.ts';
import { createVolumeObjects } from '../../src/volumes/volume-objects.ts';
import type { VolumeStore } from '../../src/volumes/volume-store.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { type Cable, layCable } from './cable.ts';

const CRD = new URL('../../deploy/chart/crds/bpffs.dev_bpfvolumes.yaml', import.meta.url);

let api: ApiServer;
let cable: Cable;
let store: VolumeStore;
/** Two, as with two replicas. */
let keepers: readonly VolumeKeeper[];
const log: string[] = [];

before(async () => {
  // There is no controller manager, which would have to remove the finalizers that this plugin adds.
  api = await startApiServer(['--disable-admission-plugins=StorageObjectInUseProtection']);
  await api.kubectl(['apply', `--filename=${CRD.pathname}`]);
  await api.kubectl(['wait', '--for=condition=Established', 'crd/bpfvolumes.bpffs.dev']);
  cable = await layCable(api.port);
  const client = await api.clientFor(
    'controller',
    [{ apiGroups: ['', 'bpffs.dev'], resources: ['*'], verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'] }],
    cable.port,
  );
  store = createVolumeObjects(client);
  const timing = { minBackoffMs: 50, maxBackoffMs: 500 };
  keepers = [1, 2].map(() =>
    keepVolumes({
      ...{ client, driverName: 'csi.bpffs.dev', store, timing },
      ...{ graceMs: 300, intervalMs: 100 },
      log: createLogger('info', { write: (line) => log.push(line) }),
    }),
  );
  await Promise.all(keepers.map((keeper) => keeper.synced()));
});
after(async () => {
  for (const keeper of keepers ?? []) keeper.close();
  cable?.close();
  await api?.stop();
});

const make = (volumeName: string, claim: VolumeSpec['claim'] = { namespace: 'default', name: volumeName }) =>
  store.create({
    volumeName,
    content: { type: 'workspace' },
    userNamespace: false,
    accessModes: ['SINGLE_NODE_WRITER'],
    capacityBytes: 0,
    nodeName: 'node-1',
    claim,
  });

/** As external-provisioner, or a person, writes it. */
const persistentVolume = (name: string, { id }: Volume, claim: string, namespace = 'default') => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name },
  spec: {
    capacity: { storage: '1Mi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    csi: { driver: 'csi.bpffs.dev', volumeHandle: id },
    claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name: claim },
  },
});

const claim = (name: string, volumeName?: string) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, namespace: 'default' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } }, volumeName },
});

/** As the controller manager does. */
const setPhase = (name: string, phase: string) =>
  api.kubectl(['patch', 'pv', name, '--subresource=status', '--type=merge', `--patch={"status":{"phase":"${phase}"}}`]);

const untilBound = (volume: Volume, binding: Volume['binding']) =>
  eventually(`${volume.id} is ${JSON.stringify(binding)}`, 10, async () => {
    assert.deepEqual((await store.get(volume.id))?.binding, binding);
    return true;
  });

const isThere = async ({ id }: Volume) => (await store.get(id)) !== undefined;

/** Waits several times as long as the deletion of an unused volume takes, measured with one. */
async function untilCollected(): Promise<void> {
  const orphan = await make(`pvc-orphan-${Math.random().toString(36).slice(2)}`);
  await eventually('one that is nobody’s is gone', 10, async () => !(await isThere(orphan)));
}

test('a volume says whose it is: the claim that its PersistentVolume is bound to', async () => {
  await api.apply(claim('pvc-followed'));
  const volume = await make('pvc-followed');
  await api.apply(persistentVolume('pvc-followed', volume, 'pvc-followed'));
  await setPhase('pvc-followed', 'Bound');
  await untilBound(volume, { phase: 'Bound', claim: { namespace: 'default', name: 'pvc-followed' } });
  assert.match(await api.kubectl(['get', 'bpfvolume/pvc-followed']), /workspace +node-1 +default +pvc-followed +Bound/);
  await setPhase('pvc-followed', 'Released');
  await untilBound(volume, { phase: 'Released' });
  // An administrator gives it to another claim.
  await api.kubectl(['patch', 'pv', 'pvc-followed', '--type=merge', '--patch={"spec":{"claimRef":{"name":"next"}}}']);
  await setPhase('pvc-followed', 'Bound');
  await untilBound(volume, { phase: 'Bound', claim: { namespace: 'default', name: 'next' } });
  await api.kubectl(['delete', 'pv/pvc-followed', 'pvc/pvc-followed']);
  await untilBound(volume, { phase: 'Released' });
  await untilCollected();
  assert(await isThere(volume), 'what was retained is not collected');
  const { volumes } = (await keepers[0]?.list()) ?? {};
  assert.deepEqual(volumes, (await store.list()).volumes);
  await store.delete(volume.id);
});

test('a PersistentVolume of another namespace, or of another driver, says nothing', async () => {
  await api.apply(claim('pvc-foreign'));
  const volume = await make('pvc-foreign');
  const foreign = persistentVolume('foreign', volume, 'pvc-foreign', 'kube-system');
  const other = persistentVolume('other', volume, 'pvc-foreign');
  await api.apply(foreign, {
    ...other,
    spec: { ...other.spec, csi: { ...other.spec.csi, driver: 'csi.example.com' } },
  });
  await setPhase('foreign', 'Bound');
  await setPhase('other', 'Bound');
  await api.kubectl(['delete', 'pvc/pvc-foreign']);
  await untilCollected();
  assert(await isThere(volume), 'somebody means it');
  await untilBound(volume, undefined);
  await api.kubectl(['delete', 'pv', 'foreign', 'other']);
  await eventually('it is nobody’s', 10, async () => !(await isThere(volume)));
});

suite('a volume without a PersistentVolume', () => {
  test('is deleted when its claim is gone', async () => {
    const volume = await make('pvc-gone');
    await eventually('it is deleted', 10, async () => !(await isThere(volume)));
    assert(log.some((line) => line.includes(volume.id) && line.includes('no PersistentVolume ever stood for')));
  });

  test('stays while its claim waits for one, and goes when the claim has another', async () => {
    await api.apply(claim('waits'));
    const volume = await make('pvc-waits', { namespace: 'default', name: 'waits' });
    await untilCollected();
    assert(await isThere(volume));
    await api.kubectl(['delete', 'pvc', 'waits', '--wait=false']);
    await api.apply(claim('waits', 'pvc-another'));
    await eventually('it is deleted', 10, async () => !(await isThere(volume)));
    await api.kubectl(['delete', 'pvc', 'waits', '--wait=false']);
  });

  test('stays when nobody said whose it is', async () => {
    const volume = await store.create({
      ...(await make('pvc-any')).spec,
      ...{ volumeName: 'pvc-unknown', claim: undefined },
    });
    await untilCollected();
    assert(await isThere(volume));
    await store.delete(volume.id);
  });

  test('is unused, and one with it is not, before the copy can have it', async () => {
    await api.apply(claim('pvc-asked'));
    const volume = await make('pvc-asked');
    assert.equal(await store.isUnused?.(volume), true);
    await api.apply(persistentVolume('pvc-asked', volume, 'pvc-asked'));
    assert.equal(await store.isUnused?.(volume), false);
    await api.kubectl(['delete', 'pv/pvc-asked', 'pvc/pvc-asked']);
    assert.equal(await store.isUnused?.({ ...volume, binding: { phase: 'Released' } }), false);
  });
});

test('while the API server is away nothing is deleted, and what changed is seen when it is back', async () => {
  await api.apply(claim('pvc-away'));
  const volume = await make('pvc-away');
  await api.apply(persistentVolume('pvc-away', volume, 'pvc-away'));
  cable.cut();
  await setPhase('pvc-away', 'Bound');
  await sleep(1000);
  cable.mend();
  await untilBound(volume, { phase: 'Bound', claim: { namespace: 'default', name: 'pvc-away' } });
});
