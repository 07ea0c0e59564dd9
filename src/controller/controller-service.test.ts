import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import type { Call } from '../rpc/adapter.ts';
import { type CreateVolumeRequest, VolumeCapability_AccessMode_Mode as Mode } from '../rpc/csi.ts';
import { createLock } from '../rpc/lock.ts';
import type { Volume } from '../volumes/volume.ts';
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
  const service = createControllerService({ volumes, lock: createLock(), defaultNode: undefined });
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
      error.message === 'volume pvc-2 exists already, in the memory of node node-2, which is not allowed',
  );
  assert.deepEqual(await create('node-2'), ['pvc-2', on('node-2')]);
});
