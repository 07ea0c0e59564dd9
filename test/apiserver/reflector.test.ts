import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CallError, Code } from '../../src/errors.ts';
import { ApiError } from '../../src/kubernetes/api-error.ts';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { loadKubeconfig } from '../../src/kubernetes/kubeconfig.ts';
import { type Reflector, type ReflectorOptions, startReflector } from '../../src/kubernetes/reflector.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { type Cable, layCable } from './cable.ts';
import { byPort } from './kube-config.ts';

const CONFIG_MAPS = { group: '', version: 'v1', plural: 'configmaps' };

let api: ApiServer;
let cable: Cable;
let client: KubernetesClient;
let namespace: string;
let reflector: Reflector<string>;
let changes: string[];
let failures: string[];
let counter = 0;

before(async () => {
  api = await startApiServer();
  cable = await layCable(api.port);
  client = createKubernetesClient(byPort(loadKubeconfig(api.kubeconfig), cable.port));
});
after(async () => {
  client?.close();
  cable?.close();
  await api?.stop();
});

beforeEach(async () => {
  counter += 1;
  namespace = `test-${counter}`;
  await api.kubectl(['create', 'namespace', namespace]);
});
afterEach(() => {
  reflector.close();
  cable.mend();
});

function start(timing: ReflectorOptions<string>['timing'] = {}, options: Partial<ReflectorOptions<string>> = {}): void {
  changes = [];
  failures = [];
  reflector = startReflector({
    client,
    resource: CONFIG_MAPS,
    namespace,
    parse: ({ data }) => (data as { v: string }).v,
    changed: (key, value) => changes.push(`${key.slice(namespace.length + 1)}=${value}`),
    failing: (error) => failures.push(error?.message ?? 'well'),
    timing: { minBackoffMs: 50, maxBackoffMs: 400, ...timing },
    ...options,
  });
}

const put = (name: string, v: string) =>
  api.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: { v } });
const remove = (name: string) => api.kubectl(['delete', 'configmap', `--namespace=${namespace}`, name]);
const content = () =>
  Object.fromEntries([...reflector.current()].map(([key, v]) => [key.slice(namespace.length + 1), v]));
const becomes = (expected: Record<string, string>) =>
  eventually(`it is ${JSON.stringify(expected)}`, 20, async () => {
    assert.deepEqual(content(), expected);
    return true;
  });

test('it has all that is there, listed page by page, and begins again when the rest cannot be had', async () => {
  for (const name of ['a', 'b', 'c', 'd', 'e']) await put(name, '1');
  const asked: (string | undefined)[] = [];
  let fault: Error | undefined;
  const list: KubernetesClient['list'] = async (resource, query, limits) => {
    asked.push(query?.continue === undefined ? undefined : 'rest');
    const failing = asked.length === 2 ? fault : undefined;
    if (failing !== undefined) throw failing;
    return await client.list(resource, query, limits);
  };
  const all = { a: '1', b: '1', c: '1', d: '1', e: '1' };
  for (fault of [undefined, new ApiError(Code.UNAVAILABLE, 'gone', 410, 'Expired'), new Error('torn')]) {
    asked.length = 0;
    start({}, { client: { ...client, list }, pageSize: 2 });
    await reflector.synced();
    assert.deepEqual(content(), all);
    const whole = [undefined, 'rest', 'rest'];
    assert.deepEqual(asked, fault === undefined ? whole : [undefined, 'rest', ...whole]);
    await remove('e');
    await becomes({ a: '1', b: '1', c: '1', d: '1' });
    await put('e', '1');
    await becomes(all);
    reflector.close();
  }
});

test('it has what is there, and follows', async () => {
  await put('a', '1');
  start();
  assert.equal(reflector.isSynced, false);
  assert.equal(reflector.staleness(), Number.POSITIVE_INFINITY);
  assert.throws(
    () => reflector.requireFresh(60),
    (error) =>
      error instanceof CallError &&
      error.code === Code.UNAVAILABLE &&
      /^nothing is known of configmaps yet$/.test(error.message),
  );
  await reflector.synced();
  assert.equal(reflector.isSynced, true);
  assert.deepEqual(content(), { a: '1' });
  assert(reflector.staleness() < 5);
  reflector.requireFresh(60);
  await put('b', '1');
  await put('a', '2');
  await becomes({ a: '2', b: '1' });
  await remove('a');
  await becomes({ b: '1' });
  assert.deepEqual(changes, ['a=1', 'b=1', 'a=2', 'a=undefined']);
  assert.deepEqual(failures, []);
});

test('it starts without an API server, and lives through its death', async () => {
  await put('a', '1');
  cable.cut();
  start();
  await eventually('it fails', 10, async () => failures.length > 0);
  assert.match(failures[0] ?? '', /^the API server at 127\.0\.0\.1:\d+ does not answer: /);
  assert.equal(reflector.isSynced, false);
  cable.mend();
  await reflector.synced();
  await eventually('all is well', 10, async () => failures.at(-1) === 'well');
  await api.kill();
  await eventually('it fails', 10, async () => failures.length > 2);
  assert.deepEqual(content(), { a: '1' }, 'what was known stays');
  await api.start();
  await put('b', '1');
  await becomes({ a: '1', b: '1' });
  assert.deepEqual(changes, ['a=1', 'b=1'], 'nothing is told twice');
  assert.equal(failures.at(-1), 'well');
});

test('after a cut it goes on from where it was, without a list', async () => {
  let lists = 0;
  const counting = {
    ...client,
    list: (...args: Parameters<KubernetesClient['list']>) => {
      lists += 1;
      return client.list(...args);
    },
  };
  await put('a', '1');
  start({}, { client: counting });
  await reflector.synced();
  cable.cut();
  await put('b', '1');
  await remove('a');
  await sleep(300);
  cable.mend();
  await becomes({ b: '1' });
  assert.equal(lists, 1);
  assert.deepEqual(changes, ['a=1', 'b=1', 'a=undefined']);
});

test('410 Gone: it lists again, and tells what it missed', async () => {
  await put('a', '1');
  await put('b', '1');
  await put('c', '1');
  start();
  await reflector.synced();
  cable.cut();
  await remove('a');
  await put('b', '2');
  await put('d', '1');
  await api.compact();
  // The API server's watch cache is lost with it.
  await api.kill();
  await api.start();
  await put('d', '2');
  cable.mend();
  await becomes({ b: '2', c: '1', d: '2' });
  assert.deepEqual(changes.slice(3).sort(), ['a=undefined', 'b=2', 'd=2']);
  await put('e', '1');
  await becomes({ b: '2', c: '1', d: '2', e: '1' });
});

test('a watch that is silent too long is made anew', async () => {
  start({ idleTimeoutMs: 1000 });
  await reflector.synced();
  cable.hang();
  await sleep(100);
  await put('a', '1');
  await eventually('it notices', 10, async () =>
    /nothing came of watch configmaps for 1 s/.test(failures.at(-1) ?? ''),
  );
  assert(reflector.staleness() >= 1);
  assert.throws(
    () => reflector.requireFresh(0.5),
    /^CallError: nothing is known of configmaps for \d+ s: the API server/,
  );
  assert.deepEqual(content(), {});
  cable.mend();
  await becomes({ a: '1' });
});

test('a watch that the server ends is no failure', async () => {
  start({ watchTimeoutMs: 5200 });
  await reflector.synced();
  const before = cable.connections();
  await eventually('there is another watch', 20, async () => cable.connections() > before + 1);
  await put('a', '1');
  await becomes({ a: '1' });
  assert.deepEqual(failures, []);
});

test('what is not allowed is asked for again, and seldom', async () => {
  const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }];
  const lister = await api.clientFor('lister', rules);
  let watches = 0;
  const counting = {
    ...lister,
    watch: (...args: Parameters<KubernetesClient['watch']>) => {
      watches += 1;
      return lister.watch(...args);
    },
  };
  start({ minBackoffMs: 100, maxBackoffMs: 1000 }, { client: counting });
  await reflector.synced();
  await sleep(2000);
  assert.match(failures.join(), /^the driver may not watch configmaps in namespace test-\d+: its ClusterRole lacks/);
  assert.equal(failures.length, 1, 'it is told once');
  assert(watches >= 3 && watches <= 9, `${watches} watches`);
});

test('once closed it is silent', async () => {
  start();
  reflector.close();
  await assert.rejects(reflector.synced(), /is closed/);
  start();
  await reflector.synced();
  reflector.close();
  await put('a', '1');
  await sleep(300);
  assert.deepEqual(changes, []);
  assert.deepEqual(failures, []);
});

test('an API server that was set back to an earlier state is believed', async () => {
  await put('a', '1');
  start({ idleTimeoutMs: 2000 });
  await reflector.synced();
  // More revisions than at the beginning.
  for (let n = 0; n < 600; n += 1)
    await api.admin.patch(CONFIG_MAPS, { namespace, name: 'a' }, { data: { v: `${n}` } });
  await becomes({ a: '599' });
  await api.forget();
  await api.kubectl(['create', 'namespace', namespace]);
  await put('b', '1');
  await becomes({ b: '1' });
  await put('c', '1');
  await becomes({ b: '1', c: '1' });
});
