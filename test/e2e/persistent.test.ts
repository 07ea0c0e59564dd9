import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { NAMESPACE } from '../deploy/helm.ts';
import { gone, kept, removeClaim, volumeOf } from './claims.ts';
import { claim, storageClass } from './objects.ts';
import { claimed, pod } from './pods.ts';
import { cluster } from './running.ts';
import { useSpace } from './space.ts';

const space = useSpace();
const { exec, read, start, stop } = space;

const SHARED = { type: 'shared', newMaps: '- { name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 64 }' };
const CONTROLLER = 'deployment/csi-driver-bpffs-controller';

const get = async (object: string, path: string) => await space.kubectl('get', object, `--output=jsonpath=${path}`);

suite('a volume in the memory of a node', () => {
  test('waits for its first pod, is made for that one’s node, and goes with its claim', async () => {
    const name = `${space.name}-waiting`;
    await space.apply(storageClass(name, SHARED), claim('waiting', name));
    await space.described('pvc/waiting', /WaitForFirstConsumer/);
    assert.equal(await get('pvc/waiting', '{.status.phase}'), 'Pending');

    await start(pod('first', { volume: claimed('waiting') }));
    const volume = await volumeOf(space, 'waiting');
    const affinity = JSON.parse(await get(`pv/${volume.name}`, '{.spec.nodeAffinity.required.nodeSelectorTerms}'));
    assert.deepEqual(affinity, [
      { matchExpressions: [{ key: 'topology.csi.bpffs.dev/node', operator: 'In', values: ['node-1'] }] },
    ]);
    const { spec, metadata } = JSON.parse(await space.kubectl('get', `bpfvolume/${volume.name}`, '--output=json'));
    assert.equal(spec.nodeName, 'node-1');
    assert.deepEqual(spec.claimRef, { namespace: space.name, name: 'waiting' });
    assert.deepEqual(metadata.finalizers, ['bpffs.dev/volume-protection']);
    assert.match(await space.kubectl('get', 'bpfvolumes'), new RegExp(`${volume.name} .*node-1`));
    assert((await kept()).includes(volume.id));

    await stop('first');
    assert((await kept()).includes(volume.id));
    await removeClaim(space, 'waiting');
  });

  test('stays as long as a pod uses it', async () => {
    const name = `${space.name}-used`;
    await space.apply(storageClass(name, SHARED), claim('used', name));
    await start(pod('user', { volume: claimed('used') }));
    await exec('user', 'map', 'write', '/maps/counts', '1', '100');
    const volume = await volumeOf(space, 'used');
    await space.kubectl('delete', 'pvc/used', '--wait=false');
    // Somebody who thinks that this deletes the volume.
    await space.kubectl('delete', 'bpfvolume', volume.name, '--wait=false');
    await space.apply(pod('second', { volume: claimed('used') }));
    await space.described('pod/second', /FailedScheduling.*"used" is being deleted/);
    await stop('second');
    assert.equal(await read('user', '/maps/counts'), '1=100');
    assert((await kept()).includes(volume.id));
    await stop('user');
    await gone(space, 'used', volume);
  });

  test('of a class that does not wait is refused, and the claim says why', async () => {
    const name = `${space.name}-immediate`;
    await space.apply(storageClass(name, SHARED, { volumeBindingMode: 'Immediate' }), claim('immediate', name));
    await space.described('pvc/immediate', /ResourceExhausted.*WaitForFirstConsumer/);
    await space.kubectl('delete', 'pvc/immediate');
  });

  test('whose maps take more than was asked for is refused, and the claim says how much', async () => {
    const name = `${space.name}-large`;
    const newMaps = '- { name: large, type: array, valueSize: 8, maxEntries: 1000000 }';
    await space.apply(storageClass(name, { type: 'shared', newMaps }), claim('large', name));
    await space.apply(pod('large', { volume: claimed('large') }));
    await space.described('pvc/large', /OutOfRange.*the maps take 8\d{6} bytes.* at least 8Mi/);
    await stop('large');
  });

  test('of a class that nobody can use is refused, and the claim names the parameter', async () => {
    const name = `${space.name}-wrong`;
    await space.apply(storageClass(name, { type: 'shared', newMap: '[]' }), claim('wrong', name));
    await space.apply(pod('wrong', { volume: claimed('wrong') }));
    await space.described('pvc/wrong', /InvalidArgument.*parameters\.newMap/);
    await stop('wrong');
  });
});

test('of two controllers one works, and the other when that one ends', async () => {
  const name = `${space.name}-next`;
  const leader = async () => {
    const holder = ['lease', 'csi-bpffs-dev', `--namespace=${NAMESPACE}`, '--output=jsonpath={.spec.holderIdentity}'];
    return await cluster.kubectl('get', ...holder);
  };
  const first = await leader();
  await cluster.kubectl('delete', 'pod', first, `--namespace=${NAMESPACE}`, '--wait=false');
  await space.apply(storageClass(name, SHARED), claim('next', name), pod('next', { volume: claimed('next') }));
  await space.ready('next');
  assert.notEqual(await leader(), first);
  await cluster.kubectl('rollout', 'status', CONTROLLER, `--namespace=${NAMESPACE}`, '--timeout=60s');
  await stop('next');
  await removeClaim(space, 'next');
});

suite('while the controller is away', () => {
  const scale = async (replicas: number) => {
    await cluster.kubectl('scale', CONTROLLER, `--replicas=${replicas}`, `--namespace=${NAMESPACE}`);
    await cluster.kubectl('rollout', 'status', CONTROLLER, `--namespace=${NAMESPACE}`, '--timeout=60s');
  };

  test('volumes that are there are used, new and deleted ones wait for it', async () => {
    const name = `${space.name}-away`;
    await space.apply(storageClass(name, SHARED), claim('old', name), claim('new', name));
    await start(pod('before', { volume: claimed('old') }));
    await exec('before', 'map', 'write', '/maps/counts', '1', '100');
    await stop('before');
    const old = await volumeOf(space, 'old');
    await scale(0);
    try {
      await start(pod('during', { volume: claimed('old') }));
      assert.equal(await read('during', '/maps/counts'), '1=100');
      await stop('during');
      await space.kubectl('delete', 'pvc/old', '--timeout=30s');
      await space.apply(pod('waiting', { volume: claimed('new') }));
    } finally {
      await scale(2);
    }
    await space.ready('waiting');
    await gone(space, 'old', old);
    await stop('waiting');
    await removeClaim(space, 'new');
  });
});
