import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code, unavailable } from '../errors.ts';
import type { Call } from '../rpc/adapter.ts';
import { type CreateVolumeRequest, VolumeCapability_AccessMode_Mode as Mode } from '../rpc/csi.ts';
import { createLock } from '../rpc/lock.ts';
import type { Volume, VolumeSpec } from '../volumes/volume.ts';
import type { VolumeStore } from '../volumes/volume-store.ts';
import { createControllerService } from './controller-service.ts';

const CALL: Call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY, note() {}, quiet() {} };

/** For a workspace, which lives on one node. */
const REQUEST: CreateVolumeRequest = {
  name: 'pvc',
  capacityRange: null,
  volumeCapabilities: [
    {
      accessMode: { mode: Mode.SINGLE_NODE_WRITER },
      mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
    },
  ],
  parameters: { type: 'workspace' },
  secrets: {},
  volumeContentSource: null,
  accessibilityRequirements: null,
  mutableParameters: {},
};

/** A store of one volume, which waits for `until`. */
function createSlowStore(until: Promise<void>): VolumeStore {
  let volume: Volume | undefined;
  return {
    async create(spec) {
      await until;
      volume ??= { id: `${spec.volumeName}-0a1b2c3d`, spec, createdAt: new Date(), binding: undefined };
      return volume;
    },
    get: async () => volume,
    list: async () => ({ volumes: [volume ?? []].flat(), damaged: [] }),
    async delete() {
      await until;
      volume = undefined;
    },
    isUnused: undefined,
  };
}

test('a second operation on a volume is ABORTED; lists and other volumes do not wait', { timeout: 5000 }, async () => {
  const { promise, resolve: release } = Promise.withResolvers<void>();
  const service = createControllerService({
    volumes: createSlowStore(promise),
    lock: createLock(),
    defaultNode: 'node-1',
    findOwner: undefined,
  });
  const create = async (name: string) => await service.createVolume({ ...REQUEST, name }, CALL);
  const remove = async (volumeId: string) => await service.deleteVolume({ volumeId, secrets: {} }, CALL);
  const isAborted = (error: unknown) => error instanceof CallError && error.code === Code.ABORTED;

  const first = create('pvc');
  await assert.rejects(create('pvc'), isAborted);
  await assert.rejects(remove('pvc-0a1b2c3d'), isAborted);
  const other = create('other');
  assert.deepEqual((await service.listVolumes({ maxEntries: 0, startingToken: '' }, CALL)).entries, []);
  release();
  assert.equal((await first).volume?.volumeId, 'pvc-0a1b2c3d');
  await other;
  assert.deepEqual(await remove('pvc-0a1b2c3d'), {});
});

test('a volume on an abandoned node is created again on another, unless it may be in use', async () => {
  const on = (node: string) => [{ segments: { 'topology.csi.bpffs.dev/node': node } }];
  const made = new Map<string, Volume>();
  let isUnused = true;
  let count = 0;
  const volumes: VolumeStore = {
    async create(spec) {
      const volume = made.get(spec.volumeName) ?? {
        id: `${spec.volumeName}-${++count}`,
        spec,
        createdAt: new Date(),
        binding: undefined,
      };
      made.set(spec.volumeName, volume);
      return volume;
    },
    get: async () => undefined,
    list: async () => ({ volumes: [...made.values()], damaged: [] }),
    async delete(id) {
      for (const [name, volume] of made) if (volume.id === id) made.delete(name);
    },
    isUnused: async () => isUnused,
  };
  const service = createControllerService({
    volumes,
    lock: createLock(),
    defaultNode: undefined,
    findOwner: undefined,
  });
  const create = async (node: string) => {
    const accessibilityRequirements = { requisite: on(node), preferred: [] };
    const { volume } = await service.createVolume({ ...REQUEST, accessibilityRequirements }, CALL);
    return [volume?.volumeId, volume?.accessibleTopology];
  };
  assert.deepEqual(await create('node-1'), ['pvc-1', on('node-1')]);
  assert.deepEqual(await create('node-2'), ['pvc-2', on('node-2')]);
  isUnused = false;
  await assert.rejects(
    create('node-1'),
    (error) =>
      error instanceof CallError &&
      error.code === Code.RESOURCE_EXHAUSTED &&
      error.message ===
        'volume pvc-2 exists already, in the memory of node node-2, which is not allowed: delete the claim and create it again',
  );
  assert.deepEqual(await create('node-2'), ['pvc-2', on('node-2')]);
});

test('a workspace says whose it is, as far as that is known; other volumes do not, and an unknown state is tried again', async () => {
  const made: VolumeSpec[] = [];
  const { get, list, isUnused, ...store } = createSlowStore(Promise.resolve());
  const volumes: VolumeStore = {
    ...{ get, list, isUnused, delete: store.delete },
    async create(spec) {
      made.push(spec);
      return await createSlowStore(Promise.resolve()).create(spec);
    },
  };
  const owner = { pod: 'agent-x', volume: 'pins', serviceAccount: 'agent' };
  let isAway = false;
  const service = createControllerService({
    ...{ volumes, lock: createLock(), defaultNode: 'node-1' },
    async findOwner(claim, volumeName) {
      assert.deepEqual([claim, volumeName], [{ namespace: 'net', name: 'agent-x-pins' }, 'pvc']);
      if (isAway) throw unavailable('the API server does not answer');
      return { owner, ownerProblem: 'it belongs to no workload' };
    },
  });
  const parameters = {
    ...{ 'csi.storage.k8s.io/pvc/namespace': 'net', 'csi.storage.k8s.io/pvc/name': 'agent-x-pins' },
    type: 'workspace',
  };
  const create = async (given: Readonly<Record<string, string>>) =>
    await service.createVolume({ ...REQUEST, parameters: given }, CALL);
  await create(parameters);
  await create({ type: 'workspace' });
  await create({ ...parameters, type: 'maps', maps: 'flows' });
  const ownerships = made.map(({ owner, ownerProblem }) => [owner, ownerProblem]);
  const unknown = [undefined, undefined];
  assert.deepEqual(ownerships, [[owner, 'it belongs to no workload'], unknown, unknown]);
  isAway = true;
  await assert.rejects(create(parameters), (error) => error instanceof CallError && error.code === Code.UNAVAILABLE);
  assert.equal(made.length, 3);
});
