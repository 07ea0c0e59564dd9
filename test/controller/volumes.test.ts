import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  ControllerServiceCapability_RPC_Type as Capability,
  VolumeCapability_AccessMode_Mode as Mode,
  type ValidateVolumeCapabilitiesRequest,
} from '../../src/rpc/csi.ts';
import { call, capability, type Harness, makeVolume, NEW_MAPS, shared, startHarness } from './harness.ts';

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());

const remove = (volumeId: string) =>
  call(harness.controller, harness.controller.deleteVolume, { volumeId, secrets: {} });
const list = (maxEntries = 0, startingToken = '') =>
  call(harness.controller, harness.controller.listVolumes, { maxEntries, startingToken });

test('ControllerGetCapabilities', async () => {
  const { response } = await call(harness.controller, harness.controller.controllerGetCapabilities, {});
  assert.deepEqual(
    response?.capabilities.map(({ rpc }) => rpc?.type),
    [Capability.CREATE_DELETE_VOLUME, Capability.LIST_VOLUMES, Capability.SINGLE_NODE_MULTI_WRITER],
  );
});

describe('DeleteVolume', () => {
  test('takes the volume away, and may be repeated', async () => {
    const { volumeId } = await makeVolume(harness, 'pvc-gone');
    for (let i = 0; i < 2; i++) assert.equal((await remove(volumeId)).code, 'OK');
    assert.throws(() => readFileSync(join(harness.volumes, 'pvc-gone.json')), { code: 'ENOENT' });
  });

  for (const id of ['none-0a1b2c3d', 'of another driver', '../../etc/passwd', 'x'.repeat(1000)]) {
    test(`is done with a volume that is not there: ${id.slice(0, 20)}`, async () => {
      assert.deepEqual(await remove(id), { code: 'OK', message: '', response: {} });
    });
  }

  test('leaves a later volume of the same name alone', async () => {
    const first = await makeVolume(harness, 'pvc-reborn');
    await remove(first.volumeId);
    const second = await makeVolume(harness, 'pvc-reborn');
    assert.notEqual(second.volumeId, first.volumeId);
    assert.equal((await remove(first.volumeId)).code, 'OK');
    assert.equal((await makeVolume(harness, 'pvc-reborn')).volumeId, second.volumeId);
  });

  test('without an id', async () => {
    assert.deepEqual(await remove(''), {
      code: 'INVALID_ARGUMENT',
      message: 'volume_id: required',
      response: undefined,
    });
  });

  test('of a damaged file: INTERNAL, and the file stays', async () => {
    const { volumeId } = await makeVolume(harness, 'pvc-zeros');
    const path = join(harness.volumes, 'pvc-zeros.json');
    const { length } = readFileSync(path);
    writeFileSync(path, Buffer.alloc(length));
    const { code, message } = await remove(volumeId);
    assert.equal(code, 'INTERNAL');
    assert(message.startsWith(`${path} is damaged: `), message);
    assert.equal(readFileSync(path).length, length);
    rmSync(path);
    assert.equal((await remove(volumeId)).code, 'OK');
  });
});

describe('ValidateVolumeCapabilities', () => {
  const validate = (request: ValidateVolumeCapabilitiesRequest) =>
    call(harness.controller, harness.controller.validateVolumeCapabilities, request);
  let good: ValidateVolumeCapabilitiesRequest;
  before(async () => {
    const { volumeId, volumeContext } = await makeVolume(harness, 'pvc-validated');
    good = {
      volumeId,
      volumeContext,
      volumeCapabilities: [capability(), capability(Mode.SINGLE_NODE_READER_ONLY)],
      parameters: shared(NEW_MAPS),
      secrets: {},
      mutableParameters: {},
    };
  });

  test('confirms what is so', async () => {
    const { volumeId: _, secrets: __, ...confirmed } = good;
    assert.deepEqual((await validate(good)).response, { confirmed, message: '' });
    const { volumeCapabilities } = good;
    const bare = { volumeContext: {}, volumeCapabilities, parameters: {}, mutableParameters: {} };
    assert.deepEqual((await validate({ ...good, ...bare })).response, { confirmed: bare, message: '' });
  });

  const denials: Readonly<Record<string, readonly [Partial<ValidateVolumeCapabilitiesRequest>, RegExp]>> = {
    'an access mode': [
      { volumeCapabilities: [capability(Mode.MULTI_NODE_READER_ONLY)] },
      /^accessModes: ReadOnlyMany: /,
    ],
    'a context': [{ volumeContext: { type: 'maps' } }, /^volume_context: differs from the volume's own/],
    'a parameter': [{ parameters: { type: 'workspace' } }, /^parameters\.type: the volume has \w+ and not workspace$/],
    'an unknown parameter': [{ parameters: { kind: 'shared' } }, /^parameters\.kind: unknown parameter/],
    'mutable parameters': [{ mutableParameters: { a: 'b' } }, /^volumeAttributesClassName: /],
  };
  for (const [what, [change, message]] of Object.entries(denials)) {
    test(`does not confirm ${what}, and says why`, async () => {
      const { response } = await validate({ ...good, ...change });
      assert.equal(response?.confirmed, null);
      assert.match(response?.message ?? '', message);
    });
  }

  const refusals: Readonly<Record<string, readonly [Partial<ValidateVolumeCapabilitiesRequest>, string, RegExp]>> = {
    'no id': [{ volumeId: '' }, 'INVALID_ARGUMENT', /^volume_id: required$/],
    'no capabilities': [{ volumeCapabilities: [] }, 'INVALID_ARGUMENT', /^volume_capabilities: required$/],
    'a volume that is not there': [{ volumeId: 'none-0a1b2c3d' }, 'NOT_FOUND', /^there is no volume "none-0a1b2c3d"$/],
  };
  for (const [what, [change, code, message]] of Object.entries(refusals)) {
    test(`refuses ${what}`, async () => {
      const outcome = await validate({ ...good, ...change });
      assert.equal(outcome.code, code);
      assert.match(outcome.message, message);
    });
  }
});

describe('ListVolumes', () => {
  let listed: Harness;
  const names = ['a', 'a-b', 'a-b-c', 'b', 'c'];
  before(async () => {
    listed = harness;
    harness = await startHarness();
    for (const name of names.toReversed()) await makeVolume(harness, name);
  });
  after(async () => {
    await harness[Symbol.asyncDispose]();
    harness = listed;
  });

  const pages = async (size: number, between = async () => {}) => {
    const ids: string[] = [];
    for (let token = ''; ; await between()) {
      const { response } = await list(size, token);
      assert(response !== undefined && (size === 0 || response.entries.length <= size));
      ids.push(...response.entries.map(({ volume }) => volume?.volumeId ?? ''));
      token = response.nextToken;
      if (token === '') return ids;
    }
  };

  test('lists them all, by id, as CreateVolume described them', async () => {
    const ids = await pages(0);
    assert.deepEqual(ids, ids.toSorted());
    assert.deepEqual(ids.map((id) => id.slice(0, -9)).toSorted(), names);
    const { response } = await list(1);
    const [name = ''] = [response?.entries[0]?.volume?.volumeId.slice(0, -9)];
    assert.deepEqual(response?.entries, [{ volume: await makeVolume(harness, name), status: null }]);
  });

  for (const size of [1, 2, 4, 5, 6]) {
    test(`in pages of ${size}`, async () => {
      assert.deepEqual(await pages(size), await pages(0));
      assert.equal((await list(size)).response?.nextToken === '', size >= names.length);
    });
  }

  test('neither repeats nor hides one while others come and go', async () => {
    const before = await pages(0);
    let round = 0;
    const ids = await pages(1, async () => {
      round += 1;
      const { volumeId } = await makeVolume(harness, `0-${round}`);
      if (round === 3) await remove(volumeId);
    });
    assert.deepEqual(ids, before);
    const { response } = await list(1);
    const [token = '', last = ''] = [response?.nextToken, before.at(-1)];
    await remove(token);
    assert.equal((await list(1, token)).code, 'OK');
    assert.deepEqual((await list(0, last)).response, { entries: [], nextToken: '' });
  });

  test('refuses what is none of its tokens, and fewer than none', async () => {
    for (const token of ['7', 'invalid-token', '../x']) assert.equal((await list(0, token)).code, 'ABORTED');
    assert.equal((await list(-1)).code, 'INVALID_ARGUMENT');
  });

  test('does not pass over a volume that cannot be read, and shows it in the metrics', async () => {
    const metrics = async () => await (await fetch(`${harness.http()}/metrics`)).text();
    assert.match(await metrics(), /^bpffs_persistent_volumes_damaged 0$/m);
    writeFileSync(join(harness.volumes, 'empty.json'), '');
    const { code, message } = await list();
    assert.equal(code, 'INTERNAL');
    assert(message.startsWith(`${join(harness.volumes, 'empty.json')} is damaged: it is empty; `), message);
    assert.match(await metrics(), /^bpffs_persistent_volumes_damaged 1$/m);
    rmSync(join(harness.volumes, 'empty.json'));
    assert.equal((await list()).code, 'OK');
  });
});
