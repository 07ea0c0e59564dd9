import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import type { Call } from '../rpc/adapter.ts';
import { VolumeCapability_AccessMode_Mode as Mode } from '../rpc/generated/csi.ts';
import { createVolumeLock } from '../rpc/volume-lock.ts';
import type { Volume } from '../volumes/volume.ts';
import type { VolumeStore } from '../volumes/volume-store.ts';
import { createControllerService } from './controller-service.ts';

const CALL: Call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY, note() {} };

/** A store of one volume, which takes its time. */
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

test('one operation on a volume at a time; others, and other volumes, do not wait', { timeout: 5000 }, async () => {
  const { promise, resolve: release } = Promise.withResolvers<void>();
  const service = createControllerService({
    volumes: createSlowStore(promise),
    lock: createVolumeLock(),
    defaultNode: 'node-1',
  });
  const create = async (name: string) =>
    await service.createVolume(
      {
        name,
        capacityRange: undefined,
        volumeCapabilities: [
          {
            accessMode: { mode: Mode.SINGLE_NODE_WRITER },
            accessType: { $case: 'mount', value: { fsType: '', mountFlags: [], volumeMountGroup: '' } },
          },
        ],
        parameters: { type: 'workspace' },
        secrets: {},
        volumeContentSource: undefined,
        accessibilityRequirements: undefined,
        mutableParameters: {},
      },
      CALL,
    );
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
