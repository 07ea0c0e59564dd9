import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BadConfiguration, Code } from '../../src/errors.ts';
import { ApiError } from '../../src/kubernetes/api-error.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { inCluster } from '../../src/kubernetes/connect.ts';
import { loadKubeconfig } from '../../src/kubernetes/kubeconfig.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { byPort } from './kube-config.ts';

const CONFIG_MAPS = { group: '', version: 'v1', plural: 'configmaps' };
const ROLES = { group: 'rbac.authorization.k8s.io', version: 'v1', plural: 'clusterroles' };
const NONE = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfmaps' };

let api: ApiServer;
before(async () => {
  api = await startApiServer();
});
after(() => api?.stop());

const map = (name: string) => ({ kind: 'ConfigMap', metadata: { name, namespace: 'default' }, data: { a: '1' } });
const key = (name: string) => ({ namespace: 'default', name });

const fails = (code: Code, message: RegExp, status?: number) => (error: unknown) => {
  assert(error instanceof ApiError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  if (status !== undefined) assert.equal(error.status, status);
  return true;
};

test('objects are made, read, changed and removed', async () => {
  const made = await api.admin.create(CONFIG_MAPS, map('one'));
  assert.equal((await api.admin.get(CONFIG_MAPS, key('one'))).metadata.uid, made.metadata.uid);
  const patched = await api.admin.patch(CONFIG_MAPS, key('one'), { data: { b: '2' } });
  assert.deepEqual(patched.data, { a: '1', b: '2' });
  await assert.rejects(
    api.admin.create(CONFIG_MAPS, map('one')),
    fails(Code.ALREADY_EXISTS, /^there is already configmaps default\/one$/),
  );
  const other = { ...key('one'), uid: '00000000-0000-0000-0000-000000000000' };
  await assert.rejects(api.admin.delete(CONFIG_MAPS, other), fails(Code.ABORTED, /one/, 409));
  await api.admin.delete(CONFIG_MAPS, { ...key('one'), uid: made.metadata.uid });
  await assert.rejects(
    api.admin.get(CONFIG_MAPS, key('one')),
    fails(Code.NOT_FOUND, /^there is no configmaps default/),
  );
  await assert.rejects(
    api.admin.create(CONFIG_MAPS, map('No_Name')),
    fails(Code.INTERNAL, /^the API server refuses configmaps default\/No_Name: .*metadata.name/),
  );
});

test('a list comes in pages', async () => {
  for (const name of ['a', 'b', 'c'])
    await api.admin.create(CONFIG_MAPS, { ...map(name), metadata: { name, namespace: 'kube-public' } });
  const query = { namespace: 'kube-public', limit: 2 };
  const first = await api.admin.list(CONFIG_MAPS, query);
  assert.equal(first.items.length, 2);
  assert(first.continue !== undefined);
  const rest = await api.admin.list(CONFIG_MAPS, { ...query, continue: first.continue });
  assert.equal(rest.continue, undefined);
  const one = await api.admin.list(CONFIG_MAPS, { namespace: 'kube-public', fieldSelector: 'metadata.name=b' });
  assert.deepEqual(
    one.items.map(({ metadata }) => metadata.name),
    ['b'],
  );
});

test('a kind that nobody installed is no missing object', async () => {
  const absent = /^the API server has no bpfmaps\.bpffs\.dev of version v1alpha1; is its CustomResourceDefinition/;
  await assert.rejects(api.admin.get(NONE, { name: 'flows' }), fails(Code.UNAVAILABLE, absent, 404));
  await assert.rejects(api.admin.list(NONE), fails(Code.UNAVAILABLE, absent, 404));
});

test('a namespace that is gone, or is going, is no fault of the installation', async () => {
  const inNamespace = (namespace: string) => api.admin.create(CONFIG_MAPS, { metadata: { name: 'late', namespace } });
  await assert.rejects(
    inNamespace('absent'),
    fails(
      Code.UNAVAILABLE,
      /^the API server cannot create configmaps absent\/late now \(404\): namespaces "absent" not found$/,
    ),
  );
  // No controller manager is here to finish its deletion.
  await api.kubectl(['create', 'namespace', 'going']);
  await api.kubectl(['delete', 'namespace', 'going', '--wait=false']);
  await eventually('it is going', 10, async () => {
    await assert.rejects(
      inNamespace('going'),
      fails(
        Code.UNAVAILABLE,
        /^the API server does not let the driver create configmaps going\/late: .* because it is being terminated$/,
        403,
      ),
    );
    return true;
  });
});

test('an answer that may be another later is UNAVAILABLE, with what the API server says', async () => {
  const [group, version] = ['absent.example', 'v1'];
  const spec = { group, version, groupPriorityMinimum: 1000, versionPriority: 1, insecureSkipTLSVerify: true };
  await api.apply({
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: `${version}.${group}` },
    spec: { ...spec, service: { namespace: 'default', name: 'nobody' } },
  });
  await eventually('its absence is known', 10, async () => {
    await assert.rejects(
      api.admin.list({ group, version, plural: 'things' }),
      fails(
        Code.UNAVAILABLE,
        /^the API server cannot list things\.absent\.example now \(503\): service unavailable$/,
        503,
      ),
    );
    return true;
  });
});

test('what is no API server is no answer', async (t) => {
  const pki = (file: string) => readFileSync(join(api.directory, 'pki', file));
  const tls = { key: pki('kube-apiserver.key'), cert: pki('kube-apiserver.crt') };
  const server = createServer(tls, (request, response) => {
    response.statusCode = request.url?.includes('pods') ? 502 : 200;
    response.end('Please log in');
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = createKubernetesClient(byPort(loadKubeconfig(api.kubeconfig), port));
  t.after(client.close);
  await assert.rejects(
    client.get(CONFIG_MAPS, key('x')),
    fails(Code.UNAVAILABLE, /^the API server at 127\.0\.0\.1:\d+ does not answer: what it says is no JSON object$/),
  );
  await assert.rejects(
    client.list({ group: '', version: 'v1', plural: 'pods' }),
    fails(Code.UNAVAILABLE, /^the API server cannot list pods now \(502\): Please log in$/, 502),
  );
});

test('whom the driver does not know is no API server', async (t) => {
  const config = loadKubeconfig(api.kubeconfig);
  config.clusters = config.clusters.map(({ caData: _, ...cluster }) => cluster);
  const client = createKubernetesClient(config);
  t.after(client.close);
  await assert.rejects(client.list(CONFIG_MAPS), fails(Code.UNAVAILABLE, /does not answer: .*certificate/));
});

test('a token that a kubeconfig file names is looked for beside it, for each request', async (t) => {
  const directory = await mkdtemp(join(api.directory, 'config-'));
  const config = JSON.parse(await readFile(api.kubeconfig, 'utf8'));
  await copyFile(join(api.directory, 'pki', 'ca.crt'), join(directory, 'ca.crt'));
  config.clusters[0].cluster = { server: config.clusters[0].cluster.server, 'certificate-authority': 'ca.crt' };
  config.users[0].user = { tokenFile: 'token' };
  const file = join(directory, 'config');
  await writeFile(file, JSON.stringify(config));
  assert.throws(() => loadKubeconfig(file), /^BadConfiguration: cannot read the credentials .*token/);
  await writeFile(join(directory, 'token'), 'stale');
  const client = createKubernetesClient(loadKubeconfig(file));
  t.after(client.close);
  await assert.rejects(client.list(CONFIG_MAPS), fails(Code.UNAVAILABLE, /own credentials/, 401));
  await api.clientFor('reader', [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }]);
  const token = await api.kubectl(['create', 'token', 'reader', '--namespace=kube-system']);
  await writeFile(join(directory, 'token'), token);
  await client.list(CONFIG_MAPS);
});

test('what the driver may not do is named with the rule that is lacking', async () => {
  const client = await api.clientFor('nobody', []);
  await assert.rejects(
    client.list(ROLES),
    fails(
      Code.UNAVAILABLE,
      /^the driver may not list clusterroles\.rbac\.authorization\.k8s\.io: its ClusterRole lacks \{apiGroups: \["rbac\.authorization\.k8s\.io"\], resources: \["clusterroles"\], verbs: \["list"\]\}/,
      403,
    ),
  );
  await assert.rejects(
    client.create(CONFIG_MAPS, map('x')),
    fails(Code.UNAVAILABLE, /may not create configmaps in namespace default/),
  );
});

test('a rotated token is used at once, and one that is not accepted is said', async (t) => {
  const directory = await mkdtemp(join(api.directory, 'account-'));
  await copyFile(join(api.directory, 'pki', 'ca.crt'), join(directory, 'ca.crt'));
  await writeFile(join(directory, 'token'), 'stale');
  const client = createKubernetesClient(inCluster({ host: '127.0.0.1', port: api.port }, directory));
  t.after(client.close);
  const unauthorized = fails(Code.UNAVAILABLE, /^the API server does not accept the driver's own credentials/, 401);
  await assert.rejects(client.get(CONFIG_MAPS, key('x')), unauthorized);
  await api.clientFor('rotating', [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }]);
  await writeFile(
    join(directory, 'token'),
    await api.kubectl(['create', 'token', 'rotating', '--namespace=kube-system']),
  );
  await client.list(CONFIG_MAPS);
  await rm(join(directory, 'token'));
  await assert.rejects(client.list(CONFIG_MAPS), /^CallError: cannot read the credentials.*ENOENT/);
});

test('a watch gives what happens, and ends when the server says so', async () => {
  const { resourceVersion } = await api.admin.list(CONFIG_MAPS, { namespace: 'default' });
  const query = { namespace: 'default', resourceVersion, timeoutSeconds: 2 };
  const limits = { signal: new AbortController().signal, idleTimeoutMs: 10_000 };
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { type, object } of api.admin.watch(CONFIG_MAPS, query, limits)) {
      if (type !== 'BOOKMARK') seen.push(`${type} ${object.metadata.name} ${JSON.stringify(object.data)}`);
    }
  })();
  const made = await api.admin.create(CONFIG_MAPS, { ...map('long'), data: { text: 'ü'.repeat(100_000) } });
  await api.admin.delete(CONFIG_MAPS, { ...key('long'), uid: made.metadata.uid });
  await watching;
  const text = `long {"text":"${'ü'.repeat(100_000)}"}`;
  assert.deepEqual(seen, [`ADDED ${text}`, `DELETED ${text}`]);
});

test('bad configuration is said', async () => {
  const withoutAccount = /^BadConfiguration: cannot read the credentials .*nowhere/;
  assert.throws(() => inCluster({ host: 'h', port: 1 }, '/nowhere'), withoutAccount);
  const file = join(api.directory, 'bad.kubeconfig');
  const wrong = async (text: string, message: RegExp) => {
    await writeFile(file, text);
    assert.throws(
      () => loadKubeconfig(file),
      (error) => error instanceof BadConfiguration && message.test(error.message),
    );
  };
  await wrong('', /it is empty/);
  await wrong('current-context: 1', /bad\.kubeconfig:1:1: current-context: must be a string/);
  assert.throws(() => loadKubeconfig('/nowhere'), /^BadConfiguration: cannot read \/nowhere: ENOENT/);
  await wrong('current-context: a\ncontexts: []\nclusters: []\nusers: []', /there is no context "a"/);
  const rest = 'contexts: [{name: a, context: {cluster: c, user: u}}]\ncurrent-context: a\n';
  await wrong(`${rest}clusters: []\nusers: []`, /there is no cluster "c"/);
  await wrong(`${rest}clusters: [{name: c, cluster: {server: "https://x"}}]\nusers: []`, /there is no user "u"/);
  await wrong(
    `${rest}clusters: [{name: c, cluster: {server: "http://x"}}]\nusers: [{name: u, user: {}}]`,
    /no https URL/,
  );
  await wrong(
    `${rest}clusters: [{name: c, cluster: {server: "https://x"}}]\nusers: [{name: u, user: {}}]`,
    /neither a token/,
  );
});

test('an API server that is away is UNAVAILABLE, within the time that is given', async () => {
  await api.freeze(true);
  try {
    const started = performance.now();
    await assert.rejects(
      api.admin.get(CONFIG_MAPS, key('x'), { timeoutMs: 300 }),
      fails(
        Code.UNAVAILABLE,
        /^the API server at 127\.0\.0\.1:\d+ does not answer: nothing came of get configmaps .*x for 0\.3 s$/,
      ),
    );
    assert(performance.now() - started < 2000);
    const cancelled = new Error('cancelled');
    const signal = AbortSignal.abort(cancelled);
    await assert.rejects(api.admin.get(CONFIG_MAPS, key('x'), { signal }), cancelled);
  } finally {
    await api.freeze(false);
  }
  await api.kill();
  await assert.rejects(
    api.admin.get(CONFIG_MAPS, key('x')),
    fails(Code.UNAVAILABLE, /does not answer: .*ECONNREFUSED/),
  );
  await api.start();
  // The kept-alive connections are dead by now.
  await Promise.all(Array.from({ length: 20 }, () => api.admin.list(CONFIG_MAPS)));
});
