// Every parser of outside input returns a value or throws the error that it documents: no other error, no unbounded text, no invisible
// characters.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseGrants } from './access/grants-file.ts';
import { parseCreateRequest } from './controller/create-request.ts';
import { toPage } from './controller/page.ts';
import { BadConfiguration, CallError, Code } from './errors.ts';
import { parseBpfDelegation } from './maps/bpf-delegation.ts';
import { parseCatalog } from './maps/catalog-file.ts';
import { parseBpfMap } from './maps/cluster-bpf-map.ts';
import { parsePublishRequest } from './node/publish-request.ts';
import { parseVolumeReference } from './node/volume-reference.ts';
import { formatMapList, parseMapList } from './request/map-list.ts';
import { ControllerService, NodeService, type VolumeCapability } from './rpc/csi.ts';
import { parseNewMaps } from './volumes/new-maps.ts';
import { parseVolume } from './volumes/volume-objects-parse.ts';

/** Bytes of UTF-8 in an error message: a status has to fit the header that carries it. */
const MAX_TEXT = 4096;

/** Text with common typos and attacks. */
const anything = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...'ab:,- \n\t.{}[]"&*!|>#%\u200b\u202e\u0000\u001b'), maxLength: 40 }),
  fc.constantFrom('x', '\u202e', '\u{1f600}').map((one) => one.repeat(5000)),
  fc.constantFrom(
    'flows, limits:rw',
    'flows:ro',
    'flows:',
    'flows,,limits',
    'a'.repeat(129),
    '__proto__',
    'constructor',
  ),
);

/** A text with some of its characters removed, repeated or replaced. */
const damaged = (text: string) =>
  fc
    .array(fc.tuple(fc.nat(text.length), fc.nat(3), anything), { minLength: 1, maxLength: 4 })
    .map((edits) =>
      edits.reduce((all, [at, gone, put]) => all.slice(0, at) + put.slice(0, 20) + all.slice(at + gone), text),
    );

const codes =
  (...allowed: readonly Code[]) =>
  (error: unknown) =>
    error instanceof CallError && allowed.includes(error.code);
const isConfiguration = (error: unknown) => error instanceof BadConfiguration;

/** Runs a parser, and checks that it throws only what it documents. */
function hold(promised: (error: unknown) => boolean, parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    assert.ok(promised(error), `not promised: ${error instanceof Error ? error.stack : error}`);
    const lines = error instanceof BadConfiguration ? error.problems : [(error as Error).message];
    for (const line of lines) {
      assert.ok(Buffer.byteLength(line) <= MAX_TEXT, `${Buffer.byteLength(line)} bytes: ${line.slice(0, 200)}`);
      assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u);
    }
  }
}

const CATALOG = `\
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: flows }
spec: { source: { pinned: { path: /sys/fs/bpf/flows } }, fileName: flows, maxAccess: ReadWrite }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: limits }
spec: { source: { created: { type: hash, keySize: 4, valueSize: 8, maxEntries: 64, flags: [BPF_F_NO_PREALLOC] } } }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfDelegation
metadata: { name: xdp }
spec: { commands: [prog_load], programTypes: [xdp, kprobe], attachTypes: [xdp], allowBeyondPod: true }
`;
const GRANTS = `\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: maps }
rules: [{ apiGroups: [bpffs.dev], resources: [bpfmaps], resourceNames: [flows], verbs: [read] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: maps, namespace: prod }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: maps }
subjects: [{ kind: ServiceAccount, name: app, namespace: prod }]
`;
const NEW_MAPS =
  '- { name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 64 }\n- { name: log, type: ringbuf, maxEntries: 4096 }';

test('a list of maps', () => {
  fc.assert(
    fc.property(anything, (text) => hold(codes(Code.INVALID_ARGUMENT), () => parseMapList(text, 'parameters.maps'))),
  );
});

test('a parsed list of maps is formatted as it was written', () => {
  const name = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/);
  const list = fc.uniqueArray(fc.tuple(name, fc.boolean()), { selector: ([map]) => map, minLength: 1, maxLength: 256 });
  const property = fc.property(list, (maps) => {
    const written = maps.map(([map, writes]) => (writes ? `${map}:rw` : map)).join(', ');
    assert.equal(formatMapList(parseMapList(written, 'parameters.maps')), written);
  });
  fc.assert(property);
});

test('newMaps', () => {
  const texts = fc.oneof(anything, damaged(NEW_MAPS));
  fc.assert(fc.property(texts, (text) => hold(codes(Code.INVALID_ARGUMENT), () => parseNewMaps(text))));
});

test('catalog and grants files', () => {
  const catalogs = fc.oneof(anything, damaged(CATALOG));
  fc.assert(fc.property(catalogs, (text) => hold(isConfiguration, () => parseCatalog(text, 'catalog.yaml'))));
  const grants = fc.oneof(anything, damaged(GRANTS));
  fc.assert(fc.property(grants, (text) => hold(isConfiguration, () => parseGrants(text, 'grants.yaml'))));
});

test('objects from the API server', () => {
  const names = fc.array(fc.oneof(anything, fc.constantFrom('prog_load', 'xdp', 'kprobe', 'hash')), { maxLength: 3 });
  const spec = fc.oneof(
    fc.jsonValue(),
    fc.record({ source: fc.jsonValue(), fileName: anything, maxAccess: anything }),
    fc.record({ commands: names, mapTypes: names, programTypes: names, attachTypes: names }),
  );
  const object = fc.record({ metadata: fc.record({ name: anything }), spec });
  const property = fc.property(object, ({ metadata, spec }) => {
    const map = { apiVersion: 'bpffs.dev/v1alpha1', kind: 'BpfMap', metadata, spec };
    hold(codes(Code.FAILED_PRECONDITION), () => parseBpfMap(map as never));
    hold(codes(Code.FAILED_PRECONDITION), () => parseBpfDelegation({ ...map, kind: 'BpfDelegation' } as never));
    hold(codes(Code.INTERNAL), () => parseVolume({ ...map, kind: 'BpfVolume' } as never));
  });
  fc.assert(property);
});

/** A message without any field. */
const NOTHING = Buffer.alloc(0);

const { NodePublishVolume } = await NodeService.definition();
const { CreateVolume } = await ControllerService.definition();

const mount = fc.record({
  fsType: fc.oneof(fc.constant(''), anything),
  mountFlags: fc.array(anything, { maxLength: 2 }),
  volumeMountGroup: fc.oneof(fc.constant(''), fc.constant('2000'), anything),
});
const accessMode = fc.record({ mode: fc.integer({ min: -1, max: 9 }) });
const capability = fc.record(
  { accessMode: fc.option(accessMode), block: fc.constant({}), mount },
  { requiredKeys: ['accessMode'] },
);

const attributes = fc.dictionary(
  fc.oneof(
    anything,
    fc.constantFrom(
      'type',
      'maps',
      'delegation',
      'newMaps',
      'hostUsers',
      'csi.storage.k8s.io/ephemeral',
      'csi.storage.k8s.io/pod.name',
    ),
  ),
  fc.oneof(anything, fc.constantFrom('maps', 'shared', 'workspace', 'true', 'false')),
  { maxKeys: 6 },
);

test('NodePublishVolume requests', () => {
  const request = fc.record({
    volumeContext: attributes,
    volumeCapability: capability as fc.Arbitrary<VolumeCapability>,
    readonly: fc.boolean(),
  });
  const reference = fc.record({ volumeId: anything, targetPath: anything });
  const property = fc.property(reference, request, (volume, { ...given }) => {
    hold(codes(Code.INVALID_ARGUMENT), () => parseVolumeReference(volume));
    const asked = { ...NodePublishVolume.requestDeserialize(NOTHING), ...volume, ...given };
    hold(codes(Code.INVALID_ARGUMENT), () => parsePublishRequest(volume, asked));
  });
  fc.assert(property);
});

test('CreateVolume and ListVolumes requests', () => {
  const request = fc.record({
    name: anything,
    parameters: attributes,
    volumeCapabilities: fc.array(capability as fc.Arbitrary<VolumeCapability>, { maxLength: 2 }),
    capacityRange: fc.record({ requiredBytes: fc.maxSafeInteger(), limitBytes: fc.maxSafeInteger() }),
  });
  const property = fc.property(request, (given) => {
    const asked = { ...CreateVolume.requestDeserialize(NOTHING), ...given };
    hold(codes(Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE), () => parseCreateRequest(asked));
  });
  fc.assert(property);
  const pages = fc.property(fc.integer(), anything, (maxEntries, startingToken) => {
    const none = { volumes: [], damaged: [] };
    hold(codes(Code.INVALID_ARGUMENT, Code.ABORTED), () => toPage(none, { maxEntries, startingToken } as never));
  });
  fc.assert(pages);
});
