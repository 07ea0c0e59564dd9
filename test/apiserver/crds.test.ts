import assert from 'node:assert/strict';
import { json } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import type * as z from 'zod/mini';
import { loadKubeconfig } from '../../src/kubernetes/kubeconfig.ts';
import { createTransport } from '../../src/kubernetes/transport.ts';
import { bpfDelegationSchema } from '../../src/maps/bpf-delegation-schema.ts';
import { bpfMapSchema } from '../../src/maps/bpf-map-schema.ts';
import { DELEGATION_NAMES } from '../../src/maps/delegation-names.ts';
import { MAP_FLAGS, MAP_TYPE_RULES, type MapTypeRules, type Numbers } from '../../src/maps/map-type-rules.ts';
import { bpfVolumeSchema } from '../../src/volumes/bpf-volume-schema.ts';
import { type ApiServer, startApiServer } from './api-server.ts';

const API = 'bpffs.dev/v1alpha1';
const CRDS = new URL('../../deploy/chart/crds/', import.meta.url).pathname;

let api: ApiServer;
before(async () => {
  api = await startApiServer();
  await api.kubectl(['apply', `--filename=${CRDS}`]);
  await api.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
});
after(() => api?.stop());

/** An object without apiVersion, kind and metadata. Its name is made up unless it matters. */
interface Candidate {
  readonly what: string;
  readonly spec: unknown;
  readonly name?: string;
  readonly metadata?: object;
}

/** Submits each as a dry run: undefined if the API server accepts it, else the error. */
async function judge(kind: string, candidates: readonly Candidate[]): Promise<readonly (string | undefined)[]> {
  const transport = createTransport(loadKubeconfig(api.kubeconfig));
  const path = `/apis/${API}/${kind.toLowerCase()}s?dryRun=All&fieldValidation=Strict`;
  const ask = async (candidate: Candidate) => {
    const answer = await transport.send(
      { method: 'POST', path, body: asObject(kind, candidate) },
      AbortSignal.timeout(10_000),
    );
    const { message } = (await json(answer)) as { message?: string };
    if (answer.statusCode === 201) return undefined;
    assert(answer.statusCode === 422 || answer.statusCode === 400, `${answer.statusCode} ${message}`);
    return message;
  };
  try {
    return await Promise.all(candidates.map(ask));
  } finally {
    transport.close();
  }
}

function asObject(kind: string, { name = 'candidate', spec }: Candidate, metadata = {}) {
  return { apiVersion: API, kind, metadata: { name, ...metadata }, spec };
}

/** The texts of the driver's error; undefined if it accepts the object. */
function refusalOf(schema: z.ZodMiniType, object: unknown): readonly string[] | undefined {
  const parsed = schema.safeParse(object);
  return parsed.success ? undefined : parsed.error.issues.map(({ message }) => message);
}

type Judge = (candidate: Candidate) => readonly string[] | undefined;

async function compare(kind: string, candidates: readonly Candidate[], driver: Judge) {
  const answers = await judge(kind, candidates);
  const expected = candidates.map(driver);
  for (const [index, candidate] of candidates.entries()) {
    const [server, ours] = [answers[index], expected[index]];
    const text = `${candidate.what}: ${JSON.stringify(candidate.spec).slice(0, 500)}\nCRD: ${server}\ndriver: ${ours}`;
    assert.equal(server === undefined, ours === undefined, text);
  }
  // Both accept some and refuse some.
  const refused = expected.filter((refusal) => refusal !== undefined).length;
  assert(refused > 0 && refused < candidates.length, `${refused} of ${candidates.length} refused`);
}

const judgeMap: Judge = (candidate) => refusalOf(bpfMapSchema, asObject('BpfMap', candidate));

const pinned = (path: unknown) => ({ source: { pinned: { path } } });
const loaded = (fields: object) => ({ source: { loaded: { map: 'flows', ...fields } } });
const workspace = (fields: object) => ({ source: { workspace: { namespace: 'n', claim: 'c', path: 'p', ...fields } } });
const delegated = (fields: object) => ({
  source: { delegation: { namespace: 'n', serviceAccount: 's', volume: 'v', path: 'p', ...fields } },
});
const owned = (fields: object) => ({ source: { workspace: { namespace: 'n', volume: 'v', path: 'p', ...fields } } });
const bpfman = (fields: object) => ({ source: { bpfman: { application: 'a', program: 'p', map: 'm', ...fields } } });
const here = pinned('/sys/fs/bpf/flows');

const MAPS: readonly Candidate[] = [
  { what: 'a pinned map', spec: here },
  { what: 'everything', spec: { ...here, fileName: 'A_b-9', maxAccess: 'ReadWrite' } },
  { what: 'no spec', spec: {} },
  { what: 'no source', spec: { source: {} } },
  { what: 'two sources', spec: { source: { ...here.source, ...loaded({}).source } } },
  { what: 'two sources, one of bpfman', spec: { source: { ...here.source, ...bpfman({}).source } } },
  { what: 'an unknown source', spec: { source: { other: {} } } },
  { what: 'an unknown field', spec: { ...here, mode: 1 } },
  { what: 'an unknown access', spec: { ...here, maxAccess: 'WriteOnly' } },
  { what: 'read-only said', spec: { ...here, maxAccess: 'ReadOnly' } },
  ...['a.b', 'ä', '', 'x'.repeat(129), 'a/b', 'a b'].map((fileName) => ({
    what: 'a bad fileName',
    spec: { ...here, fileName },
  })),
  { what: 'a long fileName', spec: { ...here, fileName: 'x'.repeat(128) } },
  { what: 'a dot in the name', spec: here, name: 'a.b' },
  { what: 'a dot in the name, and a fileName', spec: { ...here, fileName: 'ab' }, name: 'a.b' },
  { what: 'a name as long as can be', spec: here, name: 'n'.repeat(128) },
  { what: 'a longer name', spec: { ...here, fileName: 'a' }, name: 'n'.repeat(129) },
  ...['/a', '/a/b.c', '/a/.b', '/a/..b', '/a/...', `/${'x'.repeat(4094)}`, `/${'ü'.repeat(2047)}`, '/a\nb'].map(
    (path) => ({
      what: 'a good path',
      spec: pinned(path),
    }),
  ),
  ...[
    '',
    '/',
    'a',
    '/a/',
    '//a',
    '/a//b',
    '/./a',
    '/a/.',
    '/a/..',
    '/../a',
    '/a\0b',
    `/${'x'.repeat(4095)}`,
    `/${'ü'.repeat(2048)}`,
    1,
  ].map((path) => ({ what: 'a bad path', spec: pinned(path) })),
  { what: 'an unknown field of a source', spec: { source: { pinned: { path: '/a', mode: 1 } } } },
  { what: 'a loaded map', spec: loaded({ program: 'count.x_1', programTag: '0123456789abcdef' }) },
  { what: 'a name longer than the kernel keeps', spec: loaded({ map: 'x'.repeat(16) }) },
  { what: 'no name', spec: loaded({ map: '' }) },
  { what: 'a program longer than the kernel keeps', spec: loaded({ program: 'x'.repeat(16) }) },
  { what: 'a name with a dash', spec: loaded({ map: 'a-b' }) },
  { what: 'a short tag', spec: loaded({ programTag: '0123456789abcde' }) },
  { what: 'a tag in capitals', spec: loaded({ programTag: '0123456789ABCDEF' }) },
  { what: 'a map in a workspace', spec: workspace({ path: 'a/b' }) },
  { what: 'a hidden one', spec: workspace({ path: '.a' }) },
  ...['/a', 'a/', 'a//b', '../a', 'a/..', '.', '', 'a.b', 'a\0b'].map((path) => ({
    what: 'a bad path',
    spec: workspace({ path }),
  })),
  { what: 'a path as long as can be', spec: workspace({ path: 'x'.repeat(4094) }) },
  { what: 'a longer path', spec: workspace({ path: 'x'.repeat(4095) }) },
  { what: 'no namespace', spec: { source: { workspace: { claim: 'c', path: 'p' } } } },
  { what: 'no name of a namespace', spec: workspace({ namespace: 'A' }) },
  ...['daemonSet', 'deployment', 'statefulSet', 'serviceAccount'].flatMap((field) => [
    { what: `of a ${field}`, spec: owned({ [field]: 'a' }) },
    { what: `of no name of a ${field}`, spec: owned({ [field]: 'A' }) },
    { what: `of a ${field} and a claim`, spec: owned({ [field]: 'a', claim: 'c' }) },
    { what: `of a ${field} without a volume`, spec: owned({ [field]: 'a', volume: undefined }) },
  ]),
  { what: 'of two workloads', spec: owned({ daemonSet: 'a', deployment: 'a' }) },
  { what: 'of nobody', spec: owned({}) },
  { what: 'of nobody, without a volume', spec: owned({ volume: undefined }) },
  { what: 'of a long volume', spec: owned({ daemonSet: 'a', volume: 'v'.repeat(63) }) },
  { what: 'of a longer volume', spec: owned({ daemonSet: 'a', volume: 'v'.repeat(64) }) },
  { what: 'of a bad volume', spec: owned({ daemonSet: 'a', volume: 'a.b' }) },
  { what: 'a claim with a volume', spec: workspace({ volume: 'v' }) },
  { what: 'no name of a claim', spec: workspace({ claim: 'c'.repeat(129) }) },
  { what: 'a map of a delegation', spec: delegated({ path: 'a/b' }) },
  ...['namespace', 'serviceAccount', 'volume', 'path'].flatMap((field) => [
    { what: `a delegation without ${field}`, spec: delegated({ [field]: undefined }) },
    { what: `a delegation with a bad ${field}`, spec: delegated({ [field]: 'A.' }) },
    { what: `a delegation with a longer ${field}`, spec: delegated({ [field]: 'x'.repeat(4095) }) },
  ]),
  { what: 'a map of bpfman', spec: bpfman({}) },
  { what: 'a map of bpfman in a namespace', spec: bpfman({ namespace: 'n', program: 'x'.repeat(64) }) },
  { what: 'a bad namespace', spec: bpfman({ namespace: 'a.b' }) },
  { what: 'a bad application', spec: bpfman({ application: 'A' }) },
  { what: 'a bad program', spec: bpfman({ program: 'x'.repeat(65) }) },
  { what: 'a map of bpfman with its tag', spec: bpfman({ programTag: '0123456789abcdef' }) },
  { what: 'a bad tag', spec: bpfman({ programTag: '0123456789ABCDEF' }) },
  { what: 'a bad map', spec: bpfman({ map: 'x'.repeat(16) }) },
  { what: 'no program', spec: { source: { bpfman: { application: 'a', map: 'm' } } } },
];

test('a BpfMap: the CRD takes what the driver takes', () => compare('BpfMap', MAPS, judgeMap));

const numbers = (rule: Numbers): number[] =>
  'only' in rule
    ? [...rule.only, ...rule.only.flatMap((n) => [n + 1, Math.max(0, n - 1)])]
    : [rule.min - 1, rule.min, rule.min + 1, rule.max - 1, rule.max, rule.max + 1].filter((n) => n <= 0xffffffff);
const min = (rule: Numbers): number => ('only' in rule ? rule.only[0] : rule.min);

/** A small valid definition. */
function smallest({ keySize, valueSize, maxEntries, needs }: MapTypeRules, type: string) {
  const flags = needs === undefined ? {} : { flags: [needs] };
  return { type, keySize: min(keySize), valueSize: min(valueSize), maxEntries: min(maxEntries), ...flags };
}

/** What the API server says of a field that the schema's types and bounds exclude; it evaluates no rules then. */
const BY_SCHEMA = /Required value|Unsupported value|in body should be|unknown field/;

/** The API server estimates that a message with a number in it might be endless, and refuses the CRD. */
const withoutValue = (text: string) => text.replace(/, (is|are) -?\d+/, '');

/** For each rule of a type, definitions at its bounds and one beyond. */
function definitionsOf(type: string, rules: MapTypeRules): readonly Candidate[] {
  const array = smallest(MAP_TYPE_RULES.array, 'array');
  const good = { ...smallest(rules, type), ...(rules.ofMaps && { inner: array }) };
  const candidates: { what: string; created: object }[] = [{ what: 'the smallest', created: good }];
  for (const field of ['keySize', 'valueSize', 'maxEntries'] as const) {
    const { [field]: _, ...without } = good;
    candidates.push({ what: `no ${field}`, created: without });
    candidates.push({ what: `negative ${field}`, created: { ...good, [field]: -1 } });
    for (const n of numbers(rules[field])) candidates.push({ what: `${field} ${n}`, created: { ...good, [field]: n } });
  }
  for (const flag of Object.keys(MAP_FLAGS)) {
    const flags = [...new Set([...(rules.needs === undefined ? [] : [rules.needs]), flag])];
    candidates.push({ what: flag, created: { ...good, flags } });
    candidates.push({ what: `${flag} alone`, created: { ...good, flags: [flag] } });
  }
  candidates.push({ what: 'no flags', created: { ...good, flags: [] } });
  candidates.push({ what: 'unknown flag', created: { ...good, flags: ['BPF_F_TOKEN_FD'] } });
  const both = ['BPF_F_RDONLY_PROG', 'BPF_F_WRONLY_PROG'];
  candidates.push({ what: both.join(), created: { ...good, flags: rules.needs ? [rules.needs, ...both] : both } });
  const { inner: _, ...withoutInner } = { inner: undefined, ...good };
  candidates.push({ what: 'no inner', created: withoutInner });
  candidates.push({ what: 'inner', created: { ...good, inner: array } });
  candidates.push({ what: 'bad inner', created: { ...good, inner: { ...array, keySize: 5 } } });
  if (rules.ofMaps) {
    candidates.push({ what: 'inner of maps', created: { ...good, inner: { ...good, inner: array } } });
    candidates.push({ what: 'inner of its own type', created: { ...good, inner: smallest(rules, type) } });
  }
  // 64 GiB in all, with the smallest and the largest elements.
  if (!('only' in rules.valueSize)) {
    const large = { ...good, valueSize: rules.valueSize.max };
    for (const maxEntries of [1000, 16_000, 17_000, 1 << 24])
      candidates.push({ what: `${maxEntries} large`, created: { ...large, maxEntries } });
  }
  if (rules.elementSize !== undefined && !('only' in rules.keySize)) {
    for (const value of [min(rules.valueSize)]) {
      for (const key of [rules.elementSize - value, rules.elementSize - value + 1]) {
        candidates.push({ what: 'element size', created: { ...good, keySize: key, valueSize: value } });
      }
    }
    for (const key of [2097152, 2097153]) {
      candidates.push({ what: 'element size', created: { ...good, keySize: key, valueSize: 4194255 - 2097152 } });
    }
  }
  if ('powerOfTwo' in rules.maxEntries) {
    for (let n = 11; n <= 32; n += 1) candidates.push({ what: `2^${n}`, created: { ...good, maxEntries: 2 ** n } });
    candidates.push({ what: 'no power of two', created: { ...good, maxEntries: 12288 } });
  }
  return candidates.map(({ what, created }) => ({ what: `${type}: ${what}`, spec: { source: { created } } }));
}

for (const [type, rules] of Object.entries<MapTypeRules>(MAP_TYPE_RULES)) {
  const candidates = definitionsOf(type, rules);
  test(`a map that is created, ${type}: the CRD takes what the driver takes`, () =>
    compare('BpfMap', candidates, judgeMap));
  test(`a map that is created, ${type}: the CRD says what the driver says`, async () => {
    let same = 0;
    for (const [index, answer] of (await judge('BpfMap', candidates)).entries()) {
      const candidate = candidates[index] as Candidate;
      if (answer === undefined || BY_SCHEMA.test(answer)) continue;
      for (const text of judgeMap(candidate)?.map(withoutValue) ?? []) {
        assert(answer.includes(text), `${candidate.what}:\nCRD: ${answer}\ndriver: ${text}`);
        same += 1;
      }
    }
    assert(same > 5, `${same} texts`);
  });
}

test('a map of no such type is refused by both', () =>
  compare(
    'BpfMap',
    ['struct_ops', 'prog_array', 'stack_trace', 'HASH', 'hash'].map((type) => ({
      what: type,
      spec: { source: { created: { type, keySize: 4, valueSize: 4, maxEntries: 1 } } },
    })),
    judgeMap,
  ));

const loader = {
  commands: ['prog_load', 'map_create', 'btf_load'],
  mapTypes: ['hash'],
  programTypes: ['xdp'],
  attachTypes: ['xdp', 'cgroup_inet_ingress'],
};
const onlyPrograms = { commands: ['prog_load'], programTypes: ['xdp'], attachTypes: ['xdp'] };

const DELEGATIONS: readonly Candidate[] = [
  { what: 'a loader', spec: loader },
  { what: 'an empty spec', spec: {} },
  { what: 'nothing', spec: { commands: [] } },
  { what: 'BTF alone', spec: { commands: ['btf_load'] } },
  { what: 'maps alone', spec: { commands: ['map_create'], mapTypes: ['hash'] } },
  { what: 'programs alone', spec: onlyPrograms },
  { what: 'empty lists', spec: { commands: ['btf_load'], mapTypes: [], programTypes: [], attachTypes: [] } },
  { what: 'an unknown field', spec: { ...loader, linkTypes: ['xdp'] } },
  { what: 'a field of another type', spec: { ...loader, allowBeyondPod: 'true' } },
  { what: 'a name as long as can be', spec: loader, name: 'n'.repeat(128) },
  { what: 'a longer name', spec: loader, name: 'n'.repeat(129) },
  { what: 'a dot in the name', spec: loader, name: 'a.b' },
  ...(['mapTypes', 'programTypes', 'attachTypes'] as const).flatMap((field): readonly Candidate[] => [
    { what: `no ${field}`, spec: { ...loader, [field]: undefined } },
    { what: `empty ${field}`, spec: { ...loader, [field]: [] } },
    { what: `${field} without its command`, spec: { commands: ['btf_load'], [field]: loader[field] } },
  ]),
  ...Object.entries(DELEGATION_NAMES).flatMap(([field, { within, beyond }]): readonly Candidate[] => [
    ...['any', 'XDP', 'BPF_XDP', '', 'hash ', 1].map((name) => ({
      what: `${name} in ${field}`,
      spec: { ...loader, [field]: [name], allowBeyondPod: true },
    })),
    { what: `${field} twice`, spec: { ...loader, [field]: [within[0], within[1], within[0]] } },
    { what: `${field} that is no list`, spec: { ...loader, [field]: within[0] } },
    { what: `all ${field}`, spec: { ...loader, commands: ['prog_load', 'map_create'], [field]: within } },
    ...[...within, ...beyond].flatMap((name): readonly Candidate[] => {
      const named = (all: readonly string[]) => ({
        ...loader,
        [field]: field === 'commands' ? [...new Set([...loader.commands, ...all])] : all,
      });
      return [undefined, false, true].map((allowBeyondPod) => ({
        what: `${name} in ${field}`,
        spec: { ...named([name]), allowBeyondPod },
      }));
    }),
    { what: `all ${field}, also beyond`, spec: { ...loader, [field]: [...within, ...beyond], allowBeyondPod: true } },
  ]),
];

test('a BpfDelegation: the CRD takes what the driver takes', () =>
  compare('BpfDelegation', DELEGATIONS, (candidate) =>
    refusalOf(bpfDelegationSchema, JSON.parse(JSON.stringify(asObject('BpfDelegation', candidate)))),
  ));

test('the CRD says of a delegation which name reaches beyond the pod, and where', async () => {
  const spec = { ...loader, programTypes: ['xdp', 'kprobe'] };
  const [message] = await judge('BpfDelegation', [{ what: 'kprobe', spec }]);
  const text = '"kprobe" reaches beyond the pod: leave it out, or accept that with allowBeyondPod: true';
  assert.match(message ?? '', new RegExp(`spec\\.programTypes: Invalid value: .*${text}`));
});

const UID = '01234567-89ab-cdef-0123-456789abcdef';
const judgeVolume: Judge = (candidate) =>
  refusalOf(bpfVolumeSchema, asObject('BpfVolume', candidate, { uid: UID, creationTimestamp: '2030-01-01T00:00:00Z' }));

const common = { volumeName: 'pvc-1', accessModes: ['SINGLE_NODE_WRITER'] };
const ofMaps = { ...common, type: 'maps', maps: 'flows' };
const counts = { name: 'counts', type: 'array', keySize: 4, valueSize: 8, maxEntries: 1, flags: [] };
const shared = { ...common, type: 'shared', nodeName: 'n', newMaps: [counts] };
const space = { ...common, type: 'workspace', nodeName: 'n' };
const claimRef = { namespace: 'n', name: 'c' };
const owner = { pod: 'p', volume: 'v', serviceAccount: 's' };
const workload = { kind: 'DaemonSet', name: 'd', uid: 'u' };
const { flags: _, ...withoutFlags } = counts;

const VOLUMES: readonly Candidate[] = [
  { what: 'of maps', spec: ofMaps },
  { what: 'shared', spec: shared },
  { what: 'a workspace', spec: space },
  {
    what: 'everything',
    spec: { ...shared, hostUsers: false, capacityBytes: 4096, claimRef: { namespace: 'n', name: 'c' } },
  },
  {
    what: 'all access modes',
    spec: { ...ofMaps, accessModes: ['MULTI_NODE_MULTI_WRITER', 'SINGLE_NODE_READER_ONLY'] },
  },
  { what: 'no access modes', spec: { ...ofMaps, accessModes: [] } },
  { what: 'no spec', spec: {} },
  { what: 'a name that is no label', spec: ofMaps, name: 'a.b' },
  { what: 'a name of 63', spec: ofMaps, name: 'n'.repeat(63) },
  { what: 'a name of 64', spec: ofMaps, name: 'n'.repeat(64) },
  { what: 'no volumeName', spec: { ...ofMaps, volumeName: '' } },
  { what: 'an unknown type', spec: { ...ofMaps, type: 'other' } },
  { what: 'an unknown access mode', spec: { ...ofMaps, accessModes: ['MULTI_NODE_SINGLE_WRITER'] } },
  { what: 'no maps', spec: { ...common, type: 'maps' } },
  { what: 'empty maps', spec: { ...ofMaps, maps: '' } },
  { what: 'maps on a node', spec: { ...ofMaps, nodeName: 'n' } },
  { what: 'maps with new maps', spec: { ...ofMaps, newMaps: [] } },
  { what: 'shared without a node', spec: { ...common, type: 'shared', newMaps: [counts] } },
  { what: 'shared without new maps', spec: { ...common, type: 'shared', nodeName: 'n' } },
  { what: 'shared with maps', spec: { ...shared, maps: 'flows' } },
  { what: 'a workspace without a node', spec: { ...common, type: 'workspace' } },
  { what: 'a workspace with maps', spec: { ...space, maps: 'flows' } },
  { what: 'a negative capacity', spec: { ...space, capacityBytes: -1 } },
  { what: 'a great capacity', spec: { ...space, capacityBytes: Number.MAX_SAFE_INTEGER } },
  { what: 'half a claim', spec: { ...space, claimRef: { namespace: 'n' } } },
  { what: 'more than a claim', spec: { ...space, claimRef: { namespace: 'n', name: 'c', uid: 'u' } } },
  { what: 'an unknown field', spec: { ...space, size: 1 } },
  { what: 'a workspace of a pod', spec: { ...space, claimRef, owner } },
  { what: 'a workspace of a workload', spec: { ...space, claimRef, owner: { ...owner, workload } } },
  { what: 'a workspace of a pod that nothing made', spec: { ...space, claimRef, owner, ownerProblem: 'why' } },
  { what: 'a workspace of nobody', spec: { ...space, claimRef, ownerProblem: 'why' } },
  { what: 'an empty problem', spec: { ...space, claimRef, ownerProblem: '' } },
  { what: 'an owner without a claim', spec: { ...space, owner } },
  { what: 'half an owner', spec: { ...space, claimRef, owner: { ...owner, volume: undefined } } },
  { what: 'an owner with more', spec: { ...space, claimRef, owner: { ...owner, namespace: 'n' } } },
  { what: 'another kind', spec: { ...space, claimRef, owner: { ...owner, workload: { ...workload, kind: 'Job' } } } },
  { what: 'half a workload', spec: { ...space, claimRef, owner: { ...owner, workload: { kind: 'DaemonSet' } } } },
  { what: 'a shared volume of a pod', spec: { ...shared, claimRef, owner } },
  { what: 'maps with a problem', spec: { ...ofMaps, ownerProblem: 'why' } },
  { what: 'a new map without flags', spec: { ...shared, newMaps: [withoutFlags] } },
  { what: 'a new map with a bad name', spec: { ...shared, newMaps: [{ ...counts, name: 'a.b' }] } },
  { what: 'a new map of a bad type', spec: { ...shared, newMaps: [{ ...counts, type: 'struct_ops' }] } },
  {
    what: 'a map of maps',
    spec: {
      ...shared,
      newMaps: [{ ...counts, inner: { type: 'array', keySize: 4, valueSize: 8, maxEntries: 1, flags: [] } }],
    },
  },
  { what: 'a map of nameless maps only', spec: { ...shared, newMaps: [{ ...counts, inner: counts }] } },
];

test('a BpfVolume: the CRD takes what the driver takes', () => compare('BpfVolume', VOLUMES, judgeVolume));

const put = (kind: string, name: string, spec: object) =>
  api.apply({ apiVersion: API, kind, metadata: { name }, spec });

test('a volume never changes, and neither does a map that nodes have made', async () => {
  await put('BpfVolume', 'one', space);
  await assert.rejects(put('BpfVolume', 'one', { ...space, nodeName: 'm' }), /never changes: delete the claim/);
  const created = { type: 'hash', keySize: 4, valueSize: 4, maxEntries: 16 };
  await put('BpfMap', 'made', { source: { created } });
  await assert.rejects(
    put('BpfMap', 'made', { source: { created: { ...created, maxEntries: 32 } } }),
    /keep it as it is/,
  );
  await assert.rejects(put('BpfMap', 'made', here), /keep it as it is/);
  await put('BpfMap', 'made', { source: { created }, maxAccess: 'ReadWrite' });
  await put('BpfDelegation', 'loader', loader);
  await put('BpfDelegation', 'loader', onlyPrograms);
  await put('BpfMap', 'moved', here);
  await put('BpfMap', 'moved', pinned('/sys/fs/bpf/other'));
});

test('a source that names no workspace, or two, is refused with a text that names the field', async () => {
  const one = 'exactly one of claim, daemonSet, deployment, statefulSet, serviceAccount is required';
  const volume = 'the name of a volume in the pod spec: required with all but claim, not allowed with it';
  const refusals = await judge('BpfMap', [
    { what: 'of nobody', spec: owned({}) },
    { what: 'of two', spec: owned({ daemonSet: 'a', deployment: 'a' }) },
    { what: 'without a volume', spec: owned({ daemonSet: 'a', volume: undefined }) },
    { what: 'a claim with a volume', spec: workspace({ volume: 'v' }) },
  ]);
  for (const [index, text] of [one, one, volume, volume].entries()) {
    const field = text === one ? 'spec.source.workspace' : 'spec.source.workspace.volume';
    const refusal = refusals[index] ?? '';
    assert(refusal.includes(`${field}: Invalid value`) && refusal.includes(text), refusal);
  }
});

test('they are listed as people expect', async () => {
  await put('BpfMap', 'flows', here);
  const claimRef = { namespace: 'prod', name: 'first' };
  await put('BpfVolume', 'two', { ...space, nodeName: 'node-2', claimRef });
  const setStatus = (status: object) => {
    const patch = `--patch=${JSON.stringify({ status })}`;
    return api.kubectl(['patch', 'bv', 'two', '--subresource=status', '--type=merge', patch]);
  };
  await assert.rejects(setStatus({ phase: 'Bound' }), /required for phase Bound, and for no other/);
  await assert.rejects(setStatus({ phase: 'Released', claimRef }), /required for phase Bound, and for no other/);
  await assert.rejects(setStatus({ phase: 'Lost' }), /Unsupported value/);
  await assert.rejects(
    setStatus({ phase: 'Bound', claimRef: { ...claimRef, namespace: 'test' } }),
    /a volume is for claims of the namespace for which it was made/,
  );
  await setStatus({ phase: 'Bound', claimRef: { ...claimRef, name: 'agent' } });
  assert.match(
    await api.kubectl(['get', 'bm', 'flows']),
    /^NAME\s+ACCESS\s+SOURCE\s+AGE\nflows\s+ReadOnly\s+\{"pinned":\{"path":"\/sys\/fs\/bpf\/flows"\}\}\s+\S+$/,
  );
  assert.match(
    await api.kubectl(['get', 'bv', '--field-selector=spec.nodeName=node-2']),
    /^NAME .*\ntwo\s+workspace\s+node-2\s+prod\s+agent\s+Bound\s+\S+$/,
  );
  await put('BpfDelegation', 'xdp', onlyPrograms);
  assert.match(
    await api.kubectl(['get', 'bd', 'xdp']),
    /^NAME\s+COMMANDS\s+PROGRAMS\s+BEYOND POD\s+AGE\nxdp\s+\["prog_load"\]\s+\["xdp"\]\s+\S+$/,
  );
  assert.match(await api.kubectl(['get', 'bpffs']), /bpfmap\.bpffs\.dev\/flows[\s\S]*bpfvolume\.bpffs\.dev\/two/);
  assert.match(await api.kubectl(['explain', 'bpfmap.spec.source.loaded']), /Exactly one may fit/);
  assert.match(await api.kubectl(['explain', 'bpfmap.spec.source.workspace.daemonSet']), /The DaemonSet whose pod/);
});
