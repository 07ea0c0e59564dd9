import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { VolumeCapability_AccessMode_Mode as Mode, type NodePublishVolumeRequest } from '../../src/rpc/csi.ts';
import { Access } from '../../src/rpc/pinner.ts';
import type { Volume, VolumeContent, VolumeSpec } from '../../src/volumes/volume.ts';
import { openVolumeDirectory } from '../../src/volumes/volume-directory.ts';
import type { VolumeStore } from '../../src/volumes/volume-store.ts';
import { call, type Harness, type LogLine, publishRequest, startHarness, until } from './harness.ts';

const SHARED: VolumeContent = {
  type: 'shared',
  newMaps: [
    { name: 'events', type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 4096, flags: [] },
    { name: 'counts', type: 'array', keySize: 4, valueSize: 8, maxEntries: 16, flags: [] },
  ],
};

let harness: Harness;
let store: VolumeStore;
before(async () => {
  harness = await startHarness();
  store = openVolumeDirectory(harness.files.volumes ?? '');
});
after(() => harness[Symbol.asyncDispose]());

let volumes = 0;
async function makeVolume(content: VolumeContent, change: Partial<VolumeSpec> = {}): Promise<Volume> {
  volumes += 1;
  return await store.create({
    volumeName: `pvc-${volumes}`,
    content,
    userNamespace: false,
    accessModes: ['SINGLE_NODE_MULTI_WRITER'],
    capacityBytes: 1 << 20,
    nodeName: 'node-1',
    claim: { namespace: 'prod', name: `claim-${volumes}` },
    ...change,
  });
}

/** The kubelet's request for a pod that mounts the volume's claim. */
function claimRequest(
  { id, spec }: Volume,
  change: (request: NodePublishVolumeRequest) => void = () => {},
): NodePublishVolumeRequest {
  return publishRequest((request) => {
    request.volumeId = id;
    request.targetPath = `/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/${id}/mount`;
    delete request.volumeContext.maps;
    request.volumeContext.type = spec.content.type;
    if (spec.content.type === 'maps') request.volumeContext.maps = spec.content.maps;
    request.volumeContext['csi.storage.k8s.io/ephemeral'] = 'false';
    change(request);
  });
}

const publish = (request: NodePublishVolumeRequest) => call(harness.node, harness.node.nodePublishVolume, request);
const mode = (request: NodePublishVolumeRequest, value: Mode) => {
  assert(request.volumeCapability);
  request.volumeCapability.accessMode = { mode: value };
};

describe('a shared volume', () => {
  test('holds the maps of its object, for writing', async () => {
    const volume = await makeVolume(SHARED, { userNamespace: true });
    const request = claimRequest(volume);
    assert.deepEqual(await publish(request), { code: 'OK', message: '', response: {} });
    const made = harness.pinner.volumes.get(request.targetPath);
    assert.deepEqual(
      made?.maps.map(({ fileName, access }) => [fileName, access]),
      [
        ['events', Access.READ_WRITE],
        ['counts', Access.READ_WRITE],
      ],
    );
    assert.deepEqual(made?.maps[1]?.source, {
      created: {
        name: 'counts',
        type: 'array',
        keySize: 4,
        valueSize: 8,
        maxEntries: 16,
        flags: [],
        volumeId: volume.id,
        inner: null,
      },
    });
    assert.equal(made?.userNamespace, true);
  });

  for (const [what, change] of [
    ['readOnly: true', (request: NodePublishVolumeRequest) => (request.readonly = true)],
    ['a mode for readers', (request: NodePublishVolumeRequest) => mode(request, Mode.SINGLE_NODE_READER_ONLY)],
  ] as const) {
    test(`${what} makes every map read-only`, async () => {
      const request = claimRequest(await makeVolume(SHARED), change);
      assert.equal((await publish(request)).code, 'OK');
      const made = harness.pinner.volumes.get(request.targetPath);
      assert.ok(made?.maps.every(({ access }) => access === Access.READ_ONLY));
    });
  }
});

describe('a workspace', () => {
  test('is writable, and the pod has its group', async () => {
    const volume = await makeVolume({ type: 'workspace' });
    const request = claimRequest(volume, ({ volumeCapability }) => {
      assert(volumeCapability?.mount);
      volumeCapability.mount.volumeMountGroup = '2000';
    });
    assert.equal((await publish(request)).code, 'OK');
    const { targetPath } = request;
    assert.deepEqual(harness.pinner.workspaces.get(targetPath), {
      volumeId: volume.id,
      targetPath,
      gid: 2000,
      readOnly: false,
      singleTarget: true,
      claim: `prod/${volume.spec.claim?.name}`,
    });
  });

  test('is a view of its maps for readOnly: true', async () => {
    const request = claimRequest(await makeVolume({ type: 'workspace' }), (r) => (r.readonly = true));
    assert.equal((await publish(request)).code, 'OK');
    assert.equal(harness.pinner.workspaces.get(request.targetPath)?.readOnly, true);
  });
});

describe('a persistent volume of type maps', () => {
  const MAPS: VolumeContent = { type: 'maps', maps: 'flows, limits:rw' };

  test('takes a grant for each pod', async () => {
    const volume = await makeVolume(MAPS, { nodeName: undefined });
    assert.equal((await publish(claimRequest(volume))).code, 'OK');
    const other = claimRequest(volume, (request) => {
      request.targetPath = '/var/lib/kubelet/pods/2/volumes/kubernetes.io~csi/pvc/mount';
      request.volumeContext['csi.storage.k8s.io/serviceAccount.name'] = 'stranger';
    });
    const { code, message } = await publish(other);
    assert.equal(code, 'PERMISSION_DENIED');
    assert.match(message, /^system:serviceaccount:prod:stranger may not read map "flows"/);
  });

  test('is read-only for readOnly: true, whatever its class offers', async () => {
    const request = claimRequest(await makeVolume(MAPS, { nodeName: undefined }), (r) => (r.readonly = true));
    assert.equal((await publish(request)).code, 'OK');
    const made = harness.pinner.volumes.get(request.targetPath);
    assert.ok(made?.maps.every(({ access }) => access === Access.READ_ONLY));
  });

  test('can be used on many nodes', async () => {
    for (const value of [Mode.MULTI_NODE_MULTI_WRITER, Mode.MULTI_NODE_READER_ONLY]) {
      const volume = await makeVolume(MAPS, { nodeName: undefined });
      assert.equal((await publish(claimRequest(volume, (request) => mode(request, value)))).code, 'OK');
    }
  });
});

describe('access modes say whether a second target is allowed', () => {
  const cases = [
    [Mode.SINGLE_NODE_WRITER, true],
    [Mode.SINGLE_NODE_SINGLE_WRITER, true],
    [Mode.SINGLE_NODE_READER_ONLY, true],
    [Mode.SINGLE_NODE_MULTI_WRITER, false],
  ] as const;
  for (const [value, singleTarget] of cases) {
    test(Object.entries(Mode).find(([, number]) => number === value)?.[0] ?? '', async () => {
      const request = claimRequest(await makeVolume(SHARED), (r) => mode(r, value));
      assert.equal((await publish(request)).code, 'OK');
      assert.equal(harness.pinner.volumes.get(request.targetPath)?.singleTarget, singleTarget);
    });
  }

  test('an inline volume has one target anyway', async () => {
    const request = publishRequest((r) => (r.volumeId = 'csi-inline'));
    assert.equal((await publish(request)).code, 'OK');
    assert.equal(harness.pinner.volumes.get(request.targetPath)?.singleTarget, false);
  });
});

describe('refused', () => {
  const refuses = async (request: NodePublishVolumeRequest, code: string, message: RegExp) => {
    const outcome = await publish(request);
    assert.equal(outcome.code, code, outcome.message);
    assert.match(outcome.message, message);
  };

  for (const [attribute, value] of [
    ['type', 'shared'],
    ['type', 'workspace'],
    ['newMaps', '[]'],
  ] as const) {
    test(`an inline volume with ${attribute}: ${value}`, () =>
      refuses(
        publishRequest((request) => (request.volumeContext[attribute] = value)),
        'INVALID_ARGUMENT',
        new RegExp(`^volumeAttributes.${attribute}: an inline volume holds maps that exist; .* PersistentVolumeClaim`),
      ));
  }

  test('an inline volume that denies that it is one', () =>
    refuses(
      publishRequest((request) => {
        request.volumeId = `csi-${'a'.repeat(64)}`;
        request.volumeContext.type = 'workspace';
        request.volumeContext['csi.storage.k8s.io/ephemeral'] = 'false';
      }),
      'INVALID_ARGUMENT',
      /^volumeAttributes.type: an inline volume/,
    ));

  test('a type that there is not', async () => {
    const volume = await makeVolume(SHARED);
    await refuses(
      claimRequest(volume, (request) => (request.volumeContext.type = 'disk')),
      'INVALID_ARGUMENT',
      /^volumeAttributes.type: "disk" is none of maps, shared, workspace$/,
    );
  });

  test('many nodes for what lives on one', async () => {
    const volume = await makeVolume(SHARED);
    await refuses(
      claimRequest(volume, (request) => mode(request, Mode.MULTI_NODE_MULTI_WRITER)),
      'INVALID_ARGUMENT',
      /^accessModes: ReadWriteMany: the volume lives in one node's memory; use ReadWriteOnce/,
    );
  });

  test('a volume without an object', async () => {
    const volume = await makeVolume(SHARED);
    await store.delete(volume.id);
    await refuses(
      claimRequest(volume),
      'NOT_FOUND',
      /^there is no BpfVolume for volume "pvc-\d+-[0-9a-f]{8}": it was deleted/,
    );
  });

  test('an object that cannot be read', async () => {
    const volume = await makeVolume(SHARED);
    const file = join(harness.files.volumes ?? '', `${volume.spec.volumeName}.json`);
    await writeFile(file, '{"apiVersion":');
    await refuses(claimRequest(volume), 'INTERNAL', /pvc-\d+\.json/);
    await rm(file);
  });

  test('an object of another type than the PersistentVolume says', async () => {
    const volume = await makeVolume({ type: 'workspace' });
    await refuses(
      claimRequest(volume, (request) => (request.volumeContext.type = 'shared')),
      'FAILED_PRECONDITION',
      /^volumeAttributes\.type: the PersistentVolume says shared, and the volume of claim prod\/\S+ has type workspace; .* create the claim again$/,
    );
  });

  test('a node plugin that knows no persistent volumes', async () => {
    const request = claimRequest(await makeVolume(SHARED));
    await using without = await startHarness({ volumes: null });
    const { code, message } = await call(without.node, without.node.nodePublishVolume, request);
    assert.deepEqual(
      [code, message],
      [
        'FAILED_PRECONDITION',
        `volume ${request.volumeId} has type shared, and this node plugin was started without --volumes: start it with the controller's directory`,
      ],
    );
  });

  test('a volume that was made for a claim of another namespace', async () => {
    for (const content of [SHARED, { type: 'workspace' } as const]) {
      const volume = await makeVolume(content, { claim: { namespace: 'other', name: 'theirs' } });
      await refuses(
        claimRequest(volume),
        'PERMISSION_DENIED',
        /^volume pvc-\d+-[0-9a-f]{8} was made for claim other\/theirs, and is for pods of that namespace only; pod prod\/collector-0 needs a claim of its own namespace$/,
      );
    }
  });

  test('a pod of which nobody says who it is', async () => {
    const request = claimRequest(
      await makeVolume(SHARED),
      (r) => delete r.volumeContext['csi.storage.k8s.io/pod.name'],
    );
    await refuses(
      request,
      'PERMISSION_DENIED',
      /for pods of that namespace only; the kubelet did not say of which this one is$/,
    );
  });

  test('a volume of another node', async () => {
    const volume = await makeVolume(SHARED, { nodeName: 'node-2' });
    await refuses(
      claimRequest(volume),
      'FAILED_PRECONDITION',
      /^the volume of claim \S+ lives in the memory of node node-2, and this is node node-1: let the scheduler choose the pod's node/,
    );
  });
});

describe('a BpfMap with source workspace', () => {
  const inline = (change: (request: NodePublishVolumeRequest) => void = () => {}) =>
    publishRequest((request) => {
      request.volumeId = 'csi-agent';
      request.targetPath = '/var/lib/kubelet/pods/2/volumes/kubernetes.io~csi/maps/mount';
      request.volumeContext.maps = 'agent';
      change(request);
    });
  const claim = { namespace: 'net', name: 'agent' };

  test('is refused where somebody has to change something', async () => {
    const { id } = await makeVolume(SHARED, { claim });
    const shared = await publish(inline());
    assert.deepEqual(
      [shared.code, shared.message],
      [
        'FAILED_PRECONDITION',
        'map "agent": the volume of claim net/agent has type shared, not workspace: name a claim of a StorageClass with type workspace in the BpfMap\'s source.workspace',
      ],
    );
    await store.delete(id);
    await using without = await startHarness({ volumes: null });
    const { code, message } = await call(without.node, without.node.nodePublishVolume, inline());
    assert.deepEqual(
      [code, message],
      [
        'FAILED_PRECONDITION',
        'map "agent": source.workspace takes persistent volumes, and this node plugin was started without --volumes',
      ],
    );
  });

  test('waits for the claim, and then is the volume of it that is used, and else the newest', async () => {
    const { code, message } = await publish(inline());
    assert.deepEqual(
      [code, message],
      [
        'UNAVAILABLE',
        'map "agent": no volume on node node-1 belongs to claim net/agent yet: start a pod on this node that mounts the claim',
      ],
    );
    await makeVolume({ type: 'workspace' }, { claim, nodeName: 'node-2' });
    const elsewhere = await publish(inline());
    assert.equal(elsewhere.code, 'UNAVAILABLE');
    assert.match(
      elsewhere.message,
      /the workspace of claim net\/agent is on node node-2, not on node-1: give this pod an affinity to that node$/,
    );
    // Creation times have a resolution of one second.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const used = await makeVolume({ type: 'workspace' }, { claim });
    const request = inline();
    const isOf = async (id: string) => {
      assert.equal((await publish(request)).code, 'OK');
      assert.deepEqual(harness.pinner.volumes.get(request.targetPath)?.maps[0]?.source, {
        workspace: { volumeId: id, path: 'maps/agent', claim: 'net/agent' },
      });
    };
    await isOf(used.id);
    harness.pinner.kept.add(used.id);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const second = await makeVolume({ type: 'workspace' }, { claim });
    await isOf(used.id);
    // A pod uses the second one: the first may have been retained when its claim was deleted and created again.
    harness.pinner.kept.add(second.id);
    harness.pinner.volumes.delete(request.targetPath);
    await isOf(second.id);
  });
});

test('what is kept of deleted volumes is released, and nothing else', async () => {
  const [living, deleted, damaged] = await Promise.all([makeVolume(SHARED), makeVolume(SHARED), makeVolume(SHARED)]);
  await store.delete(deleted.id);
  await writeFile(join(harness.files.volumes ?? '', `${damaged.spec.volumeName}.json`), '');
  // A node plugin that did not run meanwhile.
  await using restarted = await startHarness({ volumes: harness.files.volumes }, true, ({ kept }) => {
    for (const { id } of [living, deleted, damaged]) kept.add(id);
  });
  await until('it is released', () => !restarted.pinner.kept.has(deleted.id));
  const isWarned = ({ volumeId, level }: LogLine) => volumeId === damaged.id && level === 'WARN';
  await until('the damaged one is looked at', () => restarted.log.some(isWarned));
  assert.deepEqual([...restarted.pinner.kept].sort(), [living.id, damaged.id].sort());
});

test('a directory of volumes that is not mounted any more says of none that it is deleted', async () => {
  const volume = await makeVolume(SHARED);
  const volumes = harness.files.volumes ?? assert.fail();
  renameSync(volumes, `${volumes}-mounted`);
  mkdirSync(volumes);
  try {
    await using restarted = await startHarness({ volumes }, true, ({ kept }) => kept.add(volume.id));
    const says = /^nobody has made a volume in .* yet, or it is not mounted: it has no file \.volumes, /;
    const isOurs = ({ volumeId, level, error }: LogLine) =>
      volumeId === volume.id && level === 'WARN' && says.test(`${error}`);
    await until('it is looked for', () => restarted.log.some(isOurs));
    assert(restarted.pinner.kept.has(volume.id));
    const { code, message } = await call(restarted.node, restarted.node.nodePublishVolume, claimRequest(volume));
    assert.equal(code, 'UNAVAILABLE');
    assert.match(message, says);
  } finally {
    rmSync(volumes, { recursive: true });
    renameSync(`${volumes}-mounted`, volumes);
  }
});
