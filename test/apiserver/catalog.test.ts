import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { CallError, Code } from '../../src/errors.ts';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import type { BpfMap } from '../../src/maps/catalog.ts';
import { type ClusterCatalog, followClusterCatalog } from '../../src/maps/cluster-catalog.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { type Cable, layCable } from './cable.ts';

const CRD = new URL('../../deploy/chart/crds/bpffs.dev_bpfmaps.yaml', import.meta.url);

let api: ApiServer;
let cable: Cable;
let client: KubernetesClient;
let catalog: ClusterCatalog;
const rejected: string[] = [];

before(async () => {
  api = await startApiServer();
  cable = await layCable(api.port);
  const rule = { apiGroups: ['bpffs.dev'], resources: ['bpfmaps'], verbs: ['list', 'watch'] };
  client = await api.clientFor('node-plugin', [rule], cable.port);
});
after(async () => {
  catalog?.close();
  cable?.close();
  await api?.stop();
});

const put = (name: string, spec: object) =>
  api.apply({ apiVersion: 'bpffs.dev/v1alpha1', kind: 'BpfMap', metadata: { name, labels: { a: 'b' } }, spec });
const pinned = (path: string) => ({ source: { pinned: { path } } });
const unavailable = (message: RegExp) => (error: unknown) =>
  error instanceof CallError && error.code === Code.UNAVAILABLE && message.test(error.message);

test('it waits for its CustomResourceDefinition, and until then knows nothing', async () => {
  catalog = followClusterCatalog({
    client,
    maxStalenessSeconds: 2,
    rejected: (problem) => rejected.push(problem),
    timing: { minBackoffMs: 50, maxBackoffMs: 500, idleTimeoutMs: 1000 },
  });
  const why = /^nothing is known of bpfmaps\.bpffs\.dev yet: .*; is its CustomResourceDefinition installed\?$/;
  await eventually('it has asked', 10, async () => {
    assert.throws(() => catalog.ready(), unavailable(why));
    return true;
  });
  assert.throws(() => catalog.find('flows'), unavailable(why));
  assert.throws(() => catalog.names(), unavailable(why));
  await api.kubectl(['apply', `--filename=${CRD.pathname}`]);
  await catalog.synced();
  catalog.ready();
  assert.deepEqual(catalog.names(), []);
});

/** The map without its uid, after a check that this is the one that the API server gave the object. */
function withoutUid(map: BpfMap | undefined): Omit<BpfMap, 'uid'> {
  assert(map);
  const { uid, ...rest } = map;
  assert.match(uid ?? '', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  return rest;
}

test('maps come, change and go', async () => {
  await put('flows', pinned('/sys/fs/bpf/flows'));
  await put('limits', {
    source: { created: { type: 'array', valueSize: 8, maxEntries: 4 } },
    fileName: 'l',
    maxAccess: 'ReadWrite',
  });
  await eventually('they are there', 5, async () => catalog.names().length === 2);
  assert.deepEqual(withoutUid(catalog.find('flows')), {
    name: 'flows',
    fileName: 'flows',
    maxAccess: 'ReadOnly',
    source: { kind: 'node', source: { pinned: { path: '/sys/fs/bpf/flows' } } },
  });
  assert.equal(catalog.find('limits')?.fileName, 'l');
  assert.equal(catalog.find('limits')?.maxAccess, 'ReadWrite');
  assert.equal(catalog.find('other'), undefined);
  await put('counts', { source: { bpfman: { application: 'counter', program: 'count', map: 'counts' } } });
  await eventually('it is there', 5, async () => catalog.find('counts') !== undefined);
  const source = { kind: 'bpfman', application: 'counter', program: 'count', map: 'counts' };
  assert.deepEqual(catalog.find('counts')?.source, { ...source, namespace: undefined, programTag: undefined });
  await api.kubectl(['delete', 'bpfmap', 'counts']);
  await put('flows', { ...pinned('/sys/fs/bpf/flows'), maxAccess: 'ReadWrite' });
  await eventually('it changes', 5, async () => catalog.find('flows')?.maxAccess === 'ReadWrite');
  await api.kubectl(['delete', 'bpfmap', 'flows']);
  await eventually('it goes', 5, async () => catalog.find('flows') === undefined);
  assert.deepEqual(rejected, []);
});

test('an object that an older CustomResourceDefinition let through is told, and harms nobody else', async () => {
  const crd = parse(await readFile(CRD, 'utf8'));
  const spec = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  crd.spec.versions[0].schema.openAPIV3Schema = { type: 'object', properties: { spec } };
  await api.kubectl(['apply', '--filename=-'], stringify(crd));
  await eventually('the CRD is in force', 10, async () => {
    await put('a.b', pinned('/sys/fs/bpf/ab'));
    await put('odd', { source: { pinned: { path: 'flows' } }, fileName: 'o', maxAccess: 'ReadWrite' });
    return true;
  });
  await eventually('they are told', 5, async () => rejected.length === 2);
  assert.deepEqual(rejected.sort(), [
    'BpfMap "a.b" cannot be used: spec.fileName: required, because a bpf filesystem refuses the dot in "a.b"',
    'BpfMap "odd" cannot be used: spec.source.pinned.path: must be an absolute path without "." or ".." or empty elements',
  ]);
  const [ab, odd] = rejected;
  assert.deepEqual(withoutUid(catalog.find('odd')), {
    name: 'odd',
    fileName: 'o',
    maxAccess: 'ReadWrite',
    source: { kind: 'unusable', problem: odd },
  });
  assert.deepEqual(withoutUid(catalog.find('a.b')), {
    name: 'a.b',
    fileName: 'a_b',
    maxAccess: 'ReadOnly',
    source: { kind: 'unusable', problem: ab },
  });
  assert.deepEqual(catalog.names(), ['limits']);
  assert.equal(catalog.invalid(), 2);
  await put('odd', pinned('/sys/fs/bpf/odd'));
  await eventually('it is mended', 5, async () => catalog.names().length === 2);
  assert.equal(catalog.invalid(), 1);
});

test('without the API server nobody can tell that there is no such BpfMap', async (t) => {
  const patient = followClusterCatalog({ client, timing: { minBackoffMs: 50, maxBackoffMs: 50 } });
  t.after(() => patient.close());
  await patient.synced();
  await eventually('it is heard', 10, async () => patient.failure() === undefined);
  assert.equal(patient.find('later'), undefined);
  cable.cut();
  const unknown =
    /^nobody can tell whether "later" exists: nothing new is known of bpfmaps\.bpffs\.dev for \d+ s: the API server at /;
  await eventually('it is known that nothing is heard', 10, async () => {
    assert.throws(() => patient.find('later'), unavailable(unknown));
    return true;
  });
  assert.equal(patient.find('limits')?.name, 'limits');
  await put('later', pinned('/sys/fs/bpf/later'));
  assert.throws(() => patient.find('later'), unavailable(unknown));
  cable.mend();
  await eventually('it is seen', 10, async () => patient.find('later')?.name === 'later');
  await api.kubectl(['delete', 'bpfmap', 'later']);
  await eventually('it is gone', 10, async () => patient.find('later') === undefined);
});

test('without the API server it knows for a while what it knew, and then nothing', async () => {
  cable.hang();
  assert.equal(catalog.find('limits')?.name, 'limits');
  const old = /^nothing is known of bpfmaps\.bpffs\.dev for [2-9] s: the API server at .* does not answer/;
  await eventually('it is too old', 10, async () => {
    assert.throws(() => catalog.find('limits'), unavailable(old));
    return true;
  });
  cable.mend();
  await eventually('it is fresh', 10, async () => catalog.find('limits')?.name === 'limits');
});
