import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { NAMESPACE } from '../deploy/helm.ts';
import { gone, kept, removeClaim, staged, staging, volumeOf } from './claims.ts';
import { account, bpfMap, claim, mapRole, roleBinding, serviceAccount, storageClass } from './objects.ts';
import { claimed, inline, pod, ROOT } from './pods.ts';
import { cluster } from './running.ts';
import { useSpace } from './space.ts';

const space = useSpace();
const { exec, read, start, stop } = space;

const SHARED = { type: 'shared', newMaps: '- { name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 64 }' };
const CONTROLLER = 'deployment/csi-driver-bpffs-controller';
const LEASE = 'csi-bpffs-dev';

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

    assert((await staged()).includes(staging(volume.id)));
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
    // Somebody may think that this deletes the volume.
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

test('of two controllers one works, and the other when that one ends, to which it gives the lease', async () => {
  const name = `${space.name}-next`;
  const getLease = async () =>
    JSON.parse(await cluster.kubectl('get', 'lease', LEASE, `--namespace=${NAMESPACE}`, '--output=json'));
  const before = await getLease();
  const first = before.spec.holderIdentity;
  await cluster.kubectl('delete', 'pod', first, `--namespace=${NAMESPACE}`, '--wait=false');
  await space.apply(storageClass(name, SHARED), claim('next', name), pod('next', { volume: claimed('next') }));
  await space.ready('next');
  const second = (await getLease()).spec.holderIdentity;
  assert.notEqual(second, first);
  const holders: readonly string[] = (await leasesSince(before)).map(({ spec }) => spec.holderIdentity ?? '');
  assert(holders.indexOf('') >= 0 && holders.indexOf('') < holders.indexOf(second), `${first} held: ${holders}`);
  await cluster.kubectl('rollout', 'status', CONTROLLER, `--namespace=${NAMESPACE}`, '--timeout=60s');
  await stop('next');
  await removeClaim(space, 'next');
});

/** The successive states of a lease, each time it was written. */
async function leasesSince({ metadata }: LeaseObject): Promise<readonly LeaseObject[]> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
  const since = `watch=true&timeoutSeconds=3&fieldSelector=metadata.name%3D${LEASE}&resourceVersion=${metadata.resourceVersion}`;
  const lines = (await cluster.kubectl('get', '--raw', `${path}?${since}`)).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line).object);
}

interface LeaseObject {
  readonly metadata: { readonly resourceVersion: string };
  readonly spec: { readonly holderIdentity?: string };
}

suite('a volume that is retained', () => {
  test('belongs to the claim that its PersistentVolume is bound to', async () => {
    const name = `${space.name}-retained`;
    const source = (claim: string) =>
      bpfMap(name, { source: { workspace: { namespace: space.name, claim, path: 'flows' } }, fileName: 'flows' });
    const reader = (podName: string) => pod(podName, { serviceAccount: 'app', volume: inline({ maps: name }) });
    await space.apply(
      ...[storageClass(name, { type: 'workspace' }, { reclaimPolicy: 'Retain' }), claim('old', name), source('old')],
      ...[serviceAccount('app'), mapRole(name, { read: [name] }), roleBinding('app', name, account(space.name, 'app'))],
    );
    const container = { securityContext: { ...ROOT, capabilities: { add: ['BPF'] } } };
    await start(pod('loader', { container, volume: claimed('old') }));
    await exec('loader', 'map', 'create', '/maps/flows');
    await exec('loader', 'map', 'write', '/maps/flows', '7', '42');
    const volume = await volumeOf(space, 'old');
    const status = () => get(`bpfvolume/${volume.name}`, '{.status.phase} {.status.claimRef.name}');
    await eventually('it is bound', 10, async () => (await status()) === 'Bound old');
    await start(reader('before'));
    assert.equal(await read('before', '/maps/flows'), '7=42');
    await stop('before', 'loader');

    await space.kubectl('delete', 'pvc/old', '--timeout=30s');
    await eventually('it is released', 10, async () => (await status()) === 'Released ');
    // As https://kubernetes.io/docs/concepts/storage/persistent-volumes/#retain says.
    await space.kubectl('patch', `pv/${volume.name}`, '--patch={"spec":{"claimRef":null}}');
    const { spec, ...next } = claim('new', name) as { spec: object };
    await space.apply({ ...next, spec: { ...spec, volumeName: volume.name } }, source('new'));
    await eventually('it is bound', 30, async () => (await status()) === 'Bound new');
    await start(reader('after'));
    assert.equal(await read('after', '/maps/flows'), '7=42');
    await stop('after');
    await space.kubectl('patch', `pv/${volume.name}`, '--patch={"spec":{"persistentVolumeReclaimPolicy":"Delete"}}');
    await removeClaim(space, 'new');
  });
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
