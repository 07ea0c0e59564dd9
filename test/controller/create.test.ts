import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { mapMemoryBytes } from '../../src/maps/map-memory.ts';
import { type CreateVolumeRequest, VolumeCapability_AccessMode_Mode as Mode } from '../../src/rpc/csi.ts';
import { parseNewMaps } from '../../src/volumes/new-maps.ts';
import {
  call,
  capability,
  createRequest,
  type Harness,
  makeVolume,
  NEW_MAPS,
  shared,
  startHarness,
  topology,
} from './harness.ts';

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());

const create = (request: CreateVolumeRequest) => call(harness.controller, harness.controller.createVolume, request);

/** Bytes that the maps of the valid request take. */
const NEEDED = parseNewMaps(NEW_MAPS).reduce((sum, map) => sum + mapMemoryBytes(map), 0);

describe('makes', () => {
  test('shared maps, on the node that is preferred', async () => {
    const volume = await makeVolume(harness, 'pvc-shared', {
      accessibilityRequirements: {
        requisite: topology('node-1', 'node-2'),
        preferred: topology('node-2', 'node-1'),
      },
    });
    const { volumeId, ...rest } = volume;
    assert.match(volumeId, /^pvc-shared-[0-9a-f]{8}$/);
    assert.deepEqual(rest, {
      capacityBytes: 1 << 20,
      volumeContext: { type: 'shared' },
      contentSource: null,
      accessibleTopology: topology('node-2'),
    });
    const { metadata, ...object } = JSON.parse(readFileSync(join(harness.volumes, 'pvc-shared.json'), 'utf8'));
    assert.equal(metadata.name, 'pvc-shared');
    assert.equal(`pvc-shared-${metadata.uid.slice(0, 8)}`, volumeId);
    assert(Math.abs(Date.parse(metadata.creationTimestamp) - Date.now()) < 60_000);
    assert.deepEqual(object, {
      apiVersion: 'bpffs.dev/v1alpha1',
      kind: 'BpfVolume',
      spec: {
        volumeName: 'pvc-shared',
        type: 'shared',
        newMaps: [{ name: 'events', type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 4096, flags: [] }],
        nodeName: 'node-2',
        accessModes: ['SINGLE_NODE_MULTI_WRITER'],
        capacityBytes: 1 << 20,
        claimRef: { namespace: 'prod', name: 'events' },
      },
    });
  });

  test('a view of the catalog, usable everywhere, for any number of nodes', async () => {
    const { volumeContext, accessibleTopology } = await makeVolume(harness, 'pvc-maps', {
      parameters: { maps: ' flows,limits:rw', hostUsers: 'false' },
      volumeCapabilities: [capability(Mode.MULTI_NODE_MULTI_WRITER), capability(Mode.MULTI_NODE_READER_ONLY)],
    });
    assert.deepEqual(volumeContext, { type: 'maps', maps: 'flows, limits:rw', hostUsers: 'false' });
    assert.deepEqual(accessibleTopology, []);
  });

  test('a workspace, on the first node that is allowed', async () => {
    const { volumeContext, accessibleTopology } = await makeVolume(harness, 'pvc-workspace', {
      parameters: { type: 'workspace' },
      accessibilityRequirements: {
        requisite: [{ segments: { zone: 'a' } }, ...topology('node-3', 'node-4')],
        preferred: [],
      },
    });
    assert.deepEqual(volumeContext, { type: 'workspace' });
    assert.deepEqual(accessibleTopology, topology('node-3'));
  });

  test('a volume whose name is none for an object', async () => {
    const name = 'Ein Name / mit_Zeichen\n'.repeat(5);
    const { volumeId } = await makeVolume(harness, name);
    assert.match(volumeId, /^v-[0-9a-f]{32}-[0-9a-f]{8}$/);
    assert.equal((await makeVolume(harness, name)).volumeId, volumeId);
  });
});

describe('capacity', () => {
  const cases: readonly (readonly [what: string, change: Partial<CreateVolumeRequest>, bytes: number])[] = [
    ['as asked for', {}, 1 << 20],
    ['what the maps take', { capacityRange: null }, NEEDED],
    ['what the maps take, below a limit', { capacityRange: { requiredBytes: 0, limitBytes: 1 << 30 } }, NEEDED],
    ['the limit', { parameters: { type: 'workspace' }, capacityRange: { requiredBytes: 0, limitBytes: 5000 } }, 5000],
    ['unknown', { parameters: { maps: 'flows' }, capacityRange: null }, 0],
  ];
  for (const [index, [what, change, bytes]] of cases.entries()) {
    test(what, async () => {
      assert.equal((await makeVolume(harness, `pvc-capacity-${index}`, change)).capacityBytes, bytes);
    });
  }
});

describe('refuses', () => {
  const cases: readonly (readonly [
    what: string,
    change: Partial<CreateVolumeRequest>,
    code: string,
    message: RegExp,
  ])[] = [
    ['no name', { name: '' }, 'INVALID_ARGUMENT', /^name: required$/],
    ['a long name', { name: 'ä'.repeat(65) }, 'INVALID_ARGUMENT', /^name: has 130 bytes, and may have 128$/],
    ['no capability', { volumeCapabilities: [] }, 'INVALID_ARGUMENT', /^volume_capabilities: required$/],
    [
      'a block volume',
      { volumeCapabilities: [{ accessMode: capability().accessMode, block: {} }] },
      'INVALID_ARGUMENT',
      /^volumeMode: Block is not supported; use Filesystem$/,
    ],
    [
      'a second capability that is none',
      { volumeCapabilities: [capability(), { accessMode: null }] },
      'INVALID_ARGUMENT',
      /^volume_capability: an access type is required/,
    ],
    [
      'a filesystem',
      {
        volumeCapabilities: [
          {
            ...capability(),
            mount: { fsType: 'ext4', mountFlags: [], volumeMountGroup: '' },
          },
        ],
      },
      'INVALID_ARGUMENT',
      /^fsType: "ext4" is not supported/,
    ],
    [
      'mount options',
      {
        volumeCapabilities: [
          {
            ...capability(),
            mount: { fsType: '', mountFlags: ['noexec'], volumeMountGroup: '' },
          },
        ],
      },
      'INVALID_ARGUMENT',
      /^mountOptions: none is supported, but "noexec" is given; leave them out$/,
    ],
    [
      'many nodes for what lives on one',
      { volumeCapabilities: [capability(), capability(Mode.MULTI_NODE_MULTI_WRITER)] },
      'INVALID_ARGUMENT',
      /^accessModes: ReadWriteMany: .*use ReadWriteOnce, which all pods of that node may mount$/,
    ],
    [
      'one writer among many nodes',
      { parameters: { maps: 'flows' }, volumeCapabilities: [capability(Mode.MULTI_NODE_SINGLE_WRITER)] },
      'INVALID_ARGUMENT',
      /^accessModes: MULTI_NODE_SINGLE_WRITER is not supported/,
    ],
    ['a snapshot', { volumeContentSource: { snapshot: { snapshotId: 's' } } }, 'INVALID_ARGUMENT', /^dataSource: /],
    [
      'mutable parameters',
      { mutableParameters: { size: 'large' } },
      'INVALID_ARGUMENT',
      /^volumeAttributesClassName: /,
    ],
    [
      'an unknown type',
      { parameters: { type: 'share' } },
      'INVALID_ARGUMENT',
      /^parameters\.type: unknown type "share"; did you mean "shared"\? known: maps, shared, workspace$/,
    ],
    [
      'an unknown parameter',
      { parameters: { map: 'flows' } },
      'INVALID_ARGUMENT',
      /^parameters\.map: unknown parameter; did you mean "maps"\?/,
    ],
    [
      'bad YAML, with its line',
      { parameters: shared(`${NEW_MAPS}- { name: more, type: rinbuf }\n`) },
      'INVALID_ARGUMENT',
      /newMaps: 2:17: \[1\]\.type: "rinbuf" is none of hash, array, /,
    ],
    [
      'half a character',
      { parameters: shared('- { name: events, "\\uD800": 1 }') },
      'INVALID_ARGUMENT',
      /newMaps: .*\\u\{d800\}: unknown key/,
    ],
    [
      'a size that the kernel refuses',
      { parameters: shared('- { name: events, type: ringbuf, maxEntries: 5000 }') },
      'INVALID_ARGUMENT',
      /newMaps: .*maxEntries must be a power of two from 4096 to 2147483648 for type ringbuf, is 5000$/,
    ],
    [
      'a negative capacity',
      { capacityRange: { requiredBytes: -1, limitBytes: 0 } },
      'INVALID_ARGUMENT',
      /^resources\.requests\.storage: -1 is negative$/,
    ],
    [
      'more bytes than a number tells apart',
      { capacityRange: { requiredBytes: 2 ** 53, limitBytes: 0 } },
      'INVALID_ARGUMENT',
      /^resources\.requests\.storage: 9007199254740992 is more than any memory has$/,
    ],
    [
      'a limit below the request',
      { capacityRange: { requiredBytes: 2, limitBytes: 1 } },
      'INVALID_ARGUMENT',
      /^resources\.requests\.storage: 2 is more than the limit, 1$/,
    ],
    [
      'maps that take more than is asked for',
      { capacityRange: { requiredBytes: 4096, limitBytes: 0 } },
      'OUT_OF_RANGE',
      /^resources\.requests\.storage: the maps take \d+ bytes, and this is 4096; it must be at least \d+Ki$/,
    ],
    [
      'maps that take more than is allowed',
      {
        parameters: shared('- { name: all, type: array, valueSize: 1024, maxEntries: 2049 }'),
        capacityRange: { requiredBytes: 0, limitBytes: 1 << 20 },
      },
      'OUT_OF_RANGE',
      /^resources\.limits\.storage: the maps take \d+ bytes, and this is 1048576; it must be at least 3Mi$/,
    ],
    [
      'nodes without the driver',
      { accessibilityRequirements: { requisite: [{ segments: { zone: 'a' } }], preferred: [] } },
      'RESOURCE_EXHAUSTED',
      /^none of the nodes that are allowed has the label topology\.csi\.bpffs\.dev\/node/,
    ],
    [
      'no topology',
      { accessibilityRequirements: null },
      'RESOURCE_EXHAUSTED',
      /the StorageClass needs volumeBindingMode: WaitForFirstConsumer$/,
    ],
  ];
  for (const [what, change, code, message] of cases) {
    test(what, async () => {
      const outcome = await create(createRequest('pvc-refused', change));
      assert.equal(outcome.code, code, outcome.message);
      assert.match(outcome.message, message);
    });
  }

  test('and leaves nothing behind', async () => {
    const { response } = await call(harness.controller, harness.controller.listVolumes, {
      maxEntries: 0,
      startingToken: '',
    });
    assert.deepEqual(
      response?.entries.filter(({ volume }) => volume?.volumeId.startsWith('pvc-refused')),
      [],
    );
  });
});

test('a node that the administrator named, for a caller without topology', async () => {
  await using harness = await startHarness(['--default-node', 'only-one']);
  const volume = await makeVolume(harness, 'pvc', { accessibilityRequirements: null });
  assert.deepEqual(volume.accessibleTopology, topology('only-one'));
});

describe('the same name again', () => {
  let first: Awaited<ReturnType<typeof makeVolume>>;
  before(async () => {
    first = await makeVolume(harness, 'pvc-again', {
      capacityRange: { requiredBytes: 1 << 20, limitBytes: 1 << 21 },
      volumeCapabilities: [capability(), capability(Mode.SINGLE_NODE_WRITER)],
    });
  });

  const same: Readonly<Record<string, Partial<CreateVolumeRequest>>> = {
    'the same request': {},
    'the same maps, written otherwise': {
      parameters: shared('# as before\n- name: events\n  type: ringbuf\n  maxEntries: 4096\n  flags: []\n'),
    },
    'no capacity': { capacityRange: null },
    'a capacity that it has': { capacityRange: { requiredBytes: 1 << 19, limitBytes: 1 << 20 } },
    'one mode of two': { volumeCapabilities: [capability(Mode.SINGLE_NODE_WRITER)] },
    'more nodes': {
      accessibilityRequirements: { requisite: topology('node-0', 'node-1'), preferred: topology('node-0') },
    },
  };
  for (const [what, change] of Object.entries(same)) {
    test(`${what}: the same volume`, async () => {
      assert.deepEqual(await makeVolume(harness, 'pvc-again', change), first);
    });
  }

  const others: readonly (readonly [
    what: string,
    change: Partial<CreateVolumeRequest>,
    code: string,
    message: RegExp,
  ])[] = [
    [
      'another type',
      { parameters: { type: 'workspace' } },
      'ALREADY_EXISTS',
      /another parameters\.type: shared and not workspace; a volume never changes: delete the claim and create it again$/,
    ],
    [
      'other maps',
      { parameters: shared(NEW_MAPS.replace('4096', '8192')) },
      'ALREADY_EXISTS',
      /^volume "pvc-again" exists already, with another parameters\.newMaps: another definition of "events"; a volume never/,
    ],
    [
      'other users',
      { parameters: { ...shared(NEW_MAPS), hostUsers: 'false' } },
      'ALREADY_EXISTS',
      /another parameters\.hostUsers: "true" and not "false"; a volume never/,
    ],
    [
      'another mode',
      { volumeCapabilities: [capability(Mode.SINGLE_NODE_SINGLE_WRITER)] },
      'ALREADY_EXISTS',
      /with accessModes ReadWriteOnce and not ReadWriteOncePod; a volume never/,
    ],
    [
      'more capacity',
      { capacityRange: { requiredBytes: 1 << 21, limitBytes: 0 } },
      'ALREADY_EXISTS',
      /with 1048576 bytes, which the claim's resources\.requests\.storage or limits exclude; a volume never/,
    ],
    [
      'less capacity',
      { capacityRange: { requiredBytes: 1 << 18, limitBytes: 1 << 19 } },
      'ALREADY_EXISTS',
      /with 1048576 bytes, which the claim's resources\.requests\.storage or limits exclude; a volume never/,
    ],
    [
      'another claim',
      { parameters: { ...shared(NEW_MAPS), 'csi.storage.k8s.io/pvc/namespace': 'test' } },
      'ALREADY_EXISTS',
      /^volume "pvc-again" exists already, for claim prod\/events and not for claim test\/events; a volume never/,
    ],
    [
      'no claim',
      { parameters: { type: 'shared', newMaps: NEW_MAPS } },
      'ALREADY_EXISTS',
      /exists already, for claim prod\/events and not for no claim; a volume never/,
    ],
    [
      'another node',
      { accessibilityRequirements: { requisite: topology('node-2'), preferred: [] } },
      'RESOURCE_EXHAUSTED',
      /in the memory of node node-1, which is not allowed: delete the claim and create it again$/,
    ],
  ];
  for (const [what, change, code, message] of others) {
    test(`${what}: ${code}`, async () => {
      const outcome = await create(createRequest('pvc-again', change));
      assert.equal(outcome.code, code, outcome.message);
      assert.match(outcome.message, message);
    });
  }

  test('at the same time: one volume', async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => create(createRequest('pvc-at-once'))));
    const ids = new Set(outcomes.flatMap(({ response }) => response?.volume?.volumeId ?? []));
    assert.equal(ids.size, 1);
    assert(outcomes.every(({ code }) => code === 'OK' || code === 'ABORTED'));
  });

  test('a damaged file: INTERNAL, until a person has mended it', async () => {
    await makeVolume(harness, 'pvc-damaged');
    const path = join(harness.volumes, 'pvc-damaged.json');
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, 100));
    const { code, message } = await create(createRequest('pvc-damaged'));
    assert.equal(code, 'INTERNAL');
    assert.equal(
      message,
      `${path} is damaged: it is no JSON; restore it, or remove it when no PersistentVolume and no pod needs the volume any more`,
    );
    writeFileSync(path, whole);
    assert.equal((await create(createRequest('pvc-damaged'))).code, 'OK');
  });
});
