import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { VolumeCapability_AccessMode_Mode as Mode, type NodePublishVolumeRequest } from '../../src/rpc/csi.ts';
import { Access } from '../../src/rpc/pinner.ts';
import { visible } from '../../src/text.ts';
import { call, type Harness, publishRequest, startHarness } from './harness.ts';

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());

const publish = (request: NodePublishVolumeRequest) => call(harness.node, harness.node.nodePublishVolume, request);

function mount(request: NodePublishVolumeRequest) {
  const mount = request.volumeCapability?.mount;
  assert(mount);
  return mount;
}

const maps = (list: string) => (request: NodePublishVolumeRequest) => {
  request.volumeContext.maps = list;
};
const mode = (value: Mode) => (request: NodePublishVolumeRequest) => {
  assert(request.volumeCapability);
  request.volumeCapability.accessMode = { mode: value };
};
const attribute = (key: string, value: string) => (request: NodePublishVolumeRequest) => {
  request.volumeContext[key] = value;
};

const path = '/var/lib/kubelet/pods/1/mount';
type Refusal = readonly [
  what: string,
  change: (request: NodePublishVolumeRequest) => void,
  code: string,
  message: string | RegExp,
];

const refused: readonly Refusal[] = [
  ['no volume id', (r) => (r.volumeId = ''), 'INVALID_ARGUMENT', 'volume_id: required'],
  ...['a\n', 'a\x7f', 'a\x85', '\0'].map(
    (id): Refusal => [
      `a volume id with a control character, ${JSON.stringify(id)}`,
      (r) => (r.volumeId = id),
      'INVALID_ARGUMENT',
      /^volume_id: "a?\\.*" is not 1 to 128 bytes without control characters$/,
    ],
  ),
  ['a volume id of 129', (r) => (r.volumeId = 'a'.repeat(129)), 'INVALID_ARGUMENT', /^volume_id: "a{64}…" is not/],
  [
    'a volume id of 129 bytes',
    (r) => (r.volumeId = `${'ü'.repeat(64)}a`),
    'INVALID_ARGUMENT',
    /^volume_id: "ü{64}…" is not 1 to 128 bytes/,
  ],
  [
    'a pod whose name is too long',
    attribute('csi.storage.k8s.io/pod.name', 'p'.repeat(254)),
    'INVALID_ARGUMENT',
    'csi.storage.k8s.io/pod.name: has 254 characters, and may have 253',
  ],
  [
    'more than all maps and tokens take',
    attribute('csi.storage.k8s.io/extra', 'x'.repeat(128 << 10)),
    'INVALID_ARGUMENT',
    /^volumeAttributes: 131\d{3} bytes; names and values together may have 131072$/,
  ],
  [
    'a name with what cannot be seen',
    maps('\u200bflows'),
    'INVALID_ARGUMENT',
    /^volumeAttributes\.maps: "\\u\{200b\}flows" is no/,
  ],
  ['no target', (r) => (r.targetPath = ''), 'INVALID_ARGUMENT', 'target_path: required'],
  [
    'a relative target',
    (r) => (r.targetPath = 'pods/1'),
    'INVALID_ARGUMENT',
    /^target_path: "pods\/1" is not an absolute path/,
  ],
  [
    'a target with ..',
    (r) => (r.targetPath = `${path}/../x`),
    'INVALID_ARGUMENT',
    /^target_path: .* is not an absolute path/,
  ],
  ['a target with .', (r) => (r.targetPath = `${path}/./x`), 'INVALID_ARGUMENT', /^target_path: /],
  ['a target with //', (r) => (r.targetPath = `/${path}`), 'INVALID_ARGUMENT', /^target_path: /],
  ['a target that ends in /', (r) => (r.targetPath = `${path}/`), 'INVALID_ARGUMENT', /^target_path: /],
  ['a target of 4096', (r) => (r.targetPath = `/${'a'.repeat(4095)}`), 'INVALID_ARGUMENT', /^target_path: /],
  ['a target with NUL', (r) => (r.targetPath = '/a\0b'), 'INVALID_ARGUMENT', /^target_path: /],
  ['no capability', (r) => (r.volumeCapability = null), 'INVALID_ARGUMENT', 'volume_capability: required'],
  [
    'no access type',
    (r) => (r.volumeCapability = { accessMode: { mode: Mode.SINGLE_NODE_WRITER } }),
    'INVALID_ARGUMENT',
    'volume_capability: an access type is required: mount',
  ],
  [
    'a block volume',
    (r) =>
      (r.volumeCapability = {
        block: {},
        accessMode: { mode: Mode.SINGLE_NODE_WRITER },
      }),
    'INVALID_ARGUMENT',
    'volumeMode: Block is not supported; use Filesystem',
  ],
  ['no access mode', mode(Mode.UNKNOWN), 'INVALID_ARGUMENT', /^accessModes: UNKNOWN is not supported/],
  [
    'many readers',
    mode(Mode.MULTI_NODE_READER_ONLY),
    'INVALID_ARGUMENT',
    /^accessModes: ReadOnlyMany: the volume lives in one node's memory/,
  ],
  [
    'many nodes, one writer',
    mode(Mode.MULTI_NODE_SINGLE_WRITER),
    'INVALID_ARGUMENT',
    /^accessModes: MULTI_NODE_SINGLE_WRITER is/,
  ],
  [
    'many writers',
    mode(Mode.MULTI_NODE_MULTI_WRITER),
    'INVALID_ARGUMENT',
    /^accessModes: ReadWriteMany: the volume lives in one node's memory/,
  ],
  ['a mode of tomorrow', mode(99 as Mode), 'INVALID_ARGUMENT', /^accessModes: 99 is not supported/],
  [
    'ext4',
    (r) => (mount(r).fsType = 'ext4'),
    'INVALID_ARGUMENT',
    'fsType: "ext4" is not supported; leave it out, or write "bpf"',
  ],
  [
    'mount options',
    (r) => (mount(r).mountFlags = ['noatime', 'ro']),
    'INVALID_ARGUMENT',
    'mountOptions: none is supported, but "noatime,ro" is given; leave them out',
  ],
  [
    'a group by name',
    (r) => (mount(r).volumeMountGroup = 'wheel'),
    'INVALID_ARGUMENT',
    'fsGroup: "wheel" is no group id: 0 to 4294967294',
  ],
  [
    'group -1',
    (r) => (mount(r).volumeMountGroup = '4294967295'),
    'INVALID_ARGUMENT',
    /^fsGroup: "4294967295" is no group id/,
  ],
  ['no maps', (r) => delete r.volumeContext.maps, 'INVALID_ARGUMENT', /^volumeAttributes\.maps: names no map/],
  ['an empty list', maps(' '), 'INVALID_ARGUMENT', /^volumeAttributes\.maps: names no map/],
  ['an empty item', maps('flows,,limits'), 'INVALID_ARGUMENT', /^volumeAttributes\.maps: an item is empty/],
  ['a map twice', maps('flows, flows'), 'INVALID_ARGUMENT', 'volumeAttributes.maps: "flows" is named twice'],
  [
    'a map twice, ro and rw',
    maps('limits, limits:rw'),
    'INVALID_ARGUMENT',
    'volumeAttributes.maps: "limits" is named twice',
  ],
  ['a bad name', maps('Flows'), 'INVALID_ARGUMENT', /^volumeAttributes\.maps: "Flows" is no BpfMap name/],
  [
    'explicit ro',
    maps('flows:ro'),
    'INVALID_ARGUMENT',
    'volumeAttributes.maps: "flows:ro": read-only is the default; write "flows"',
  ],
  [
    'another access',
    maps('flows:w'),
    'INVALID_ARGUMENT',
    'volumeAttributes.maps: "flows:w": unknown access "w"; write "flows" or "flows:rw"',
  ],
  [
    'a typing error',
    attribute('map', 'flows'),
    'INVALID_ARGUMENT',
    'volumeAttributes.map: unknown attribute; did you mean "maps"? known: maps, delegation, hostUsers',
  ],
  [
    'an unknown attribute',
    attribute('color', 'red'),
    'INVALID_ARGUMENT',
    'volumeAttributes.color: unknown attribute; known: maps, delegation, hostUsers',
  ],
  [
    'hostUsers: no',
    attribute('hostUsers', 'no'),
    'INVALID_ARGUMENT',
    'volumeAttributes.hostUsers: "no" is neither "true" nor "false"',
  ],
  [
    'readOnly with :rw',
    (r) => (r.readonly = true),
    'INVALID_ARGUMENT',
    'readOnly: the volume is read-only, but volumeAttributes.maps asks for "limits:rw"',
  ],
  [
    'a reader mode with :rw',
    mode(Mode.SINGLE_NODE_READER_ONLY),
    'INVALID_ARGUMENT',
    /^readOnly: .* asks for "limits:rw"$/,
  ],
  ...['pod.name', 'pod.namespace', 'pod.uid', 'serviceAccount.name'].map(
    (key) =>
      [
        `no ${key}`,
        (r: NodePublishVolumeRequest) => delete r.volumeContext[`csi.storage.k8s.io/${key}`],
        'INVALID_ARGUMENT',
        `csi.storage.k8s.io/${key}: the kubelet did not send it; the CSIDriver object needs podInfoOnMount: true`,
      ] as const,
  ),
  [
    'one file name twice',
    maps('limits, limits-old'),
    'INVALID_ARGUMENT',
    /"limits" and "limits-old" both have the fileName "limits"/,
  ],
  ['an unknown map', maps('flow'), 'NOT_FOUND', 'there is no BpfMap "flow"; did you mean "flows"?'],
  [
    'a map like two others',
    maps('limit'),
    'NOT_FOUND',
    'there is no BpfMap "limit"; did you mean "limits" or "limits-old"?',
  ],
  [
    'a map like none',
    maps('quite-another'),
    'NOT_FOUND',
    'there is no BpfMap "quite-another": correct the name, or ask a cluster administrator for this BpfMap',
  ],
  [
    'above maxAccess',
    maps('flows:rw'),
    'PERMISSION_DENIED',
    'system:serviceaccount:prod:collector may not write map "flows" (nobody may: its spec.maxAccess is ReadOnly; ask for it without :rw)',
  ],
  [
    'no grant to write',
    maps('keys:rw'),
    'PERMISSION_DENIED',
    /^system:serviceaccount:prod:collector may not write map "keys" \(no grant: allow verb "write" on bpfmaps\.bpffs\.dev\/keys in .*grants\.yaml\)$/,
  ],
  [
    'no grant at all, two maps',
    attribute('csi.storage.k8s.io/pod.namespace', 'dev'),
    'PERMISSION_DENIED',
    /^system:serviceaccount:dev:collector may not read map "flows" \(no grant: .*\), write map "limits" \(no grant: .*\)$/,
  ],
];

describe('NodePublishVolume refuses', () => {
  for (const [what, change, code, message] of refused) {
    test(what, async () => {
      const before = harness.pinner.volumes.size;
      const outcome = await publish(publishRequest(change));
      assert.equal(outcome.code, code, outcome.message);
      if (typeof message === 'string') assert.equal(outcome.message, message);
      else assert.match(outcome.message, message);
      assert.equal(harness.pinner.volumes.size, before);
    });
  }
});

describe('NodePublishVolume', () => {
  test('hands the pinner the maps with their sources, files and access', async () => {
    const request = publishRequest((r) => {
      r.volumeId = 'csi-whole';
      r.targetPath = '/var/lib/kubelet/whole';
      mount(r).volumeMountGroup = '2000';
    });
    assert.equal((await publish(request)).code, 'OK');
    assert.deepEqual(harness.pinner.volumes.get('/var/lib/kubelet/whole'), {
      volumeId: 'csi-whole',
      targetPath: '/var/lib/kubelet/whole',
      gid: 2000,
      userNamespace: false,
      singleTarget: false,
      renew: true,
      request: 'maps: flows, limits:rw',
      maps: [
        {
          name: 'flows',
          fileName: 'flows',
          access: Access.READ_ONLY,
          source: { pinned: { path: '/sys/fs/bpf/netobserv/flows' } },
        },
        {
          name: 'limits',
          fileName: 'limits',
          access: Access.READ_WRITE,
          source: {
            loaded: { map: 'limits', program: 'xdp_limit', programTag: '', programId: 0 },
          },
        },
      ],
    });
  });

  const accepted: readonly [string, (request: NodePublishVolumeRequest) => void][] = [
    ['SINGLE_NODE_SINGLE_WRITER', mode(Mode.SINGLE_NODE_SINGLE_WRITER)],
    ['SINGLE_NODE_MULTI_WRITER', mode(Mode.SINGLE_NODE_MULTI_WRITER)],
    [
      'SINGLE_NODE_READER_ONLY',
      (r) => {
        mode(Mode.SINGLE_NODE_READER_ONLY)(r);
        maps('flows,limits')(r);
      },
    ],
    ['fsType bpf', (r) => (mount(r).fsType = 'bpf')],
    ['a created map', maps('limits-old:rw')],
    ['spaces around items', maps('  flows ,limits:rw ')],
    ['a key that Kubernetes adds', attribute('csi.storage.k8s.io/tomorrow', '1')],
  ];
  for (const [index, [what, change]] of accepted.entries()) {
    test(`accepts ${what}`, async () => {
      const request = publishRequest(change);
      const outcome = await publish({
        ...request,
        volumeId: `csi-a${index}`,
        targetPath: `/var/lib/kubelet/a${index}`,
      });
      assert.equal(outcome.code, 'OK', outcome.message);
    });
  }

  for (const volumeId of ['prod/flows#a', 'ü'.repeat(64), 'a b "c" \u200b', '../..']) {
    test(`accepts the volume id ${JSON.stringify(volumeId)}, for all calls about the volume`, async () => {
      const { node, pinner, log } = harness;
      const targetPath = '/var/lib/kubelet/by-hand';
      const request = publishRequest((r) => Object.assign(r, { volumeId, targetPath }));
      assert.equal((await publish(request)).code, 'OK');
      assert.equal(pinner.volumes.get(targetPath)?.volumeId, volumeId);
      const stats = { volumeId, volumePath: targetPath, stagingTargetPath: '' };
      assert.equal((await call(node, node.nodeGetVolumeStats, stats)).code, 'OK');
      for (const volumePublishPath of [targetPath, '']) {
        const health = { volumeId, volumePublishPath, stagingTargetPath: '' };
        assert.equal((await call(node, node.nodeGetVolumeHealth, health)).code, 'OK');
      }
      assert.equal((await call(node, node.nodeUnpublishVolume, { volumeId, targetPath })).code, 'OK');
      assert.equal(pinner.volumes.has(targetPath), false);
      assert.equal(log.at(-1)?.volumeId, visible(volumeId));
    });
  }

  test('says hostUsers: false to the pinner, and no group when there is none', async () => {
    const request = publishRequest((r) => {
      r.volumeId = 'csi-users';
      r.targetPath = '/var/lib/kubelet/users';
      attribute('hostUsers', 'false')(r);
    });
    assert.equal((await publish(request)).code, 'OK');
    const volume = harness.pinner.volumes.get('/var/lib/kubelet/users');
    assert.deepEqual([volume?.userNamespace, volume?.gid], [true, undefined]);
  });

  test('takes 256 maps, not 257', async () => {
    const many = Array.from({ length: 256 }, (_, index) => `map-${index}`);
    assert.match((await publish(publishRequest(maps(many.join())))).message, /^there is no BpfMap "map-0"/);
    const outcome = await publish(publishRequest(maps([...many, 'one-more'].join())));
    assert.equal(outcome.message, 'volumeAttributes.maps: 257 maps; a volume has at most 256');
  });
});
