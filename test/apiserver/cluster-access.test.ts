import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { Access, Decision, PodIdentity } from '../../src/access/access.ts';
import { type ClusterAccessOptions, createClusterAccess } from '../../src/access/cluster-access.ts';
import { CallError, Code } from '../../src/errors.ts';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import { BIN } from '../cluster/node.ts';
import { type ApiServer, startApiServer } from './api-server.ts';

const CRDS = new URL('../../deploy/chart/crds/', import.meta.url).pathname;
const RBAC = 'rbac.authorization.k8s.io';
const signal = new AbortController().signal;

let api: ApiServer;
let client: KubernetesClient;
let reviews = 0;

before(async () => {
  api = await startApiServer();
  await api.kubectl(['apply', `--filename=${CRDS}`]);
  const rule = { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] };
  const driver = await api.clientFor('driver', [rule]);
  client = {
    ...driver,
    create(...args) {
      reviews += 1;
      return driver.create(...args);
    },
  };
  for (const namespace of ['prod', 'dev']) await api.kubectl(['create', 'namespace', namespace]);
});
after(() => api?.stop());

function make(options: Partial<ClusterAccessOptions> = {}): Access {
  reviews = 0;
  return createClusterAccess({ client, ...options });
}

const pod = (serviceAccount: string, namespace = 'prod'): PodIdentity => ({
  namespace,
  serviceAccount,
  podName: 'p',
  podUid: 'u',
});

let count = 0;
/** Grants `verbs` on BpfMaps to a subject: in a namespace, or in the whole cluster. */
async function grant(namespace: string | undefined, subject: object, verbs: string[], resourceNames: string[] = []) {
  count += 1;
  const head = (kind: string) => ({
    apiVersion: `${RBAC}/v1`,
    kind: namespace === undefined ? `Cluster${kind}` : kind,
    metadata: { name: `grant-${count}`, ...(namespace !== undefined && { namespace }) },
  });
  const rule = { apiGroups: ['bpffs.dev'], resources: ['bpfmaps'], verbs, resourceNames };
  const role = head('Role');
  const roleRef = { apiGroup: RBAC, kind: role.kind, name: role.metadata.name };
  await api.apply({ ...role, rules: [rule] }, { ...head('RoleBinding'), roleRef, subjects: [subject] });
}

const account = (name: string, namespace = 'prod') => ({ kind: 'ServiceAccount', name, namespace });
const group = (name: string) => ({ kind: 'Group', apiGroup: RBAC, name });

/** The API server learns of RBAC changes by a watch, and so a moment later. */
async function eventuallyAllowed(pod: PodIdentity, map: string, verb: 'read' | 'write'): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const decision = await make().check(pod, map, verb, signal);
    if (decision.allowed) return;
    assert(attempt < 40, decision.remedy);
    await sleep(50);
  }
}

const denied = async (pod: PodIdentity, map: string, verb: 'read' | 'write') =>
  assert.equal((await make().check(pod, map, verb, signal)).allowed, false);

test('a Role grants in its namespace, for its verbs and names', async () => {
  await grant('prod', account('local'), ['read'], ['flows']);
  await eventuallyAllowed(pod('local'), 'flows', 'read');
  await denied(pod('local'), 'flows', 'write');
  await denied(pod('local'), 'limits', 'read');
  await denied(pod('local', 'dev'), 'flows', 'read');
  await denied(pod('other'), 'flows', 'read');
});

test('the review is made in the namespace of the pod', async () => {
  await grant('dev', account('traveller'), ['read'], ['flows']);
  await grant('prod', account('traveller'), ['read'], ['limits']);
  await eventuallyAllowed(pod('traveller'), 'limits', 'read');
  await denied(pod('traveller'), 'flows', 'read');
});

test('a ClusterRoleBinding grants everywhere', async () => {
  await grant(undefined, account('global'), ['read', 'write']);
  await eventuallyAllowed(pod('global'), 'anything', 'write');
  await denied(pod('global', 'dev'), 'anything', 'write');
});

test('the groups of every service account count', async () => {
  await grant('prod', group('system:serviceaccounts:prod'), ['read'], ['shared']);
  await eventuallyAllowed(pod('anyone'), 'shared', 'read');
  await denied(pod('anyone', 'dev'), 'shared', 'read');
  await grant('dev', group('system:serviceaccounts'), ['read'], ['wide']);
  await eventuallyAllowed(pod('anyone', 'dev'), 'wide', 'read');
  await grant('dev', group('system:authenticated'), ['read'], ['wider']);
  await eventuallyAllowed(pod('anyone', 'dev'), 'wider', 'read');
});

test('the remedy of a refusal is the command that grants it', async () => {
  const refused = await make().check(pod('reader'), 'flows.v2', 'write', signal);
  assert(!refused.allowed);
  assert(refused.remedy.length < 300);
  assert.match(refused.remedy, /^kubectl create role write-flows\.v2 -n prod --verb=write /);
  const env = { PATH: `${BIN}:${process.env.PATH}`, KUBECONFIG: api.kubeconfig, KUBECACHEDIR: api.directory };
  await execa('sh', ['-ec', refused.remedy], { env });
  await eventuallyAllowed(pod('reader'), 'flows.v2', 'write');
  await denied(pod('reader'), 'flows.v2', 'read');
});

test('a binding that leads nowhere is part of the refusal', async () => {
  const roleRef = { apiGroup: RBAC, kind: 'ClusterRole', name: 'missing' };
  const metadata = { name: 'nowhere', namespace: 'dev' };
  await api.apply({
    apiVersion: `${RBAC}/v1`,
    kind: 'RoleBinding',
    metadata,
    roleRef,
    subjects: [account('lost', 'dev')],
  });
  await sleep(500);
  const decision = await make().check(pod('lost', 'dev'), 'flows', 'read', signal);
  assert.match((decision as Extract<Decision, { allowed: false }>).remedy, /\(.*"missing" not found\)$/);
});

test('equal questions at the same time are one, and answers are kept', async () => {
  await grant('prod', account('busy'), ['read'], ['flows']);
  await eventuallyAllowed(pod('busy'), 'flows', 'read');
  let hits = 0;
  const access = make({
    lookedUp(age) {
      if (age !== undefined) hits += 1;
    },
  });
  const ask = (n: number, map = 'flows') =>
    Array.from({ length: n }, () => access.check(pod('busy'), map, 'read', signal));
  assert((await Promise.all(ask(50))).every(({ allowed }) => allowed));
  assert.equal(reviews, 1);
  await Promise.all(ask(3));
  await Promise.all(ask(3, 'other'));
  assert.equal(reviews, 2);
  assert.equal(hits, 3);
});

test('a grant counts soon after a refusal, and a withdrawn one no longer than is said', async () => {
  const access = make({ denyMs: 1500, allowMs: 3000 });
  const allowed = async () => (await access.check(pod('late'), 'flows', 'read', signal)).allowed;
  assert.equal(await allowed(), false);
  await grant('prod', account('late'), ['read'], ['flows']);
  await eventuallyAllowed(pod('late'), 'flows', 'read');
  await sleep(1500);
  assert.equal(await allowed(), true);
  await api.kubectl(['delete', 'role', '--namespace=prod', `grant-${count}`]);
  await sleep(200);
  assert.equal(await allowed(), true);
  await sleep(3000);
  assert.equal(await allowed(), false);
});

test('what the driver may not ask is no refusal of the pod', async () => {
  const nobody = await api.clientFor('nobody', []);
  await assert.rejects(make({ client: nobody }).check(pod('local'), 'flows', 'read', signal), (error) => {
    assert(error instanceof CallError);
    assert.equal(error.code, Code.UNAVAILABLE);
    assert.match(
      error.message,
      /^the driver may not create subjectaccessreviews\.authorization\.k8s\.io: its ClusterRole lacks/,
    );
    return true;
  });
});

test('an authorizer that is away is no refusal of the pod', async (t) => {
  const webhook = {
    'current-context': 'away',
    contexts: [{ name: 'away', context: { cluster: 'away', user: 'away' } }],
    clusters: [{ name: 'away', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'away', user: {} }],
  };
  const file = join(api.directory, 'webhook.kubeconfig');
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'Config', ...webhook }));
  const other = await startApiServer(['--authorization-mode=Webhook', `--authorization-webhook-config-file=${file}`]);
  t.after(() => other.stop());
  const access = createClusterAccess({ client: other.admin });
  await assert.rejects(access.check(pod('local'), 'flows', 'read', signal), (error) => {
    assert(error instanceof CallError);
    assert.equal(error.code, Code.UNAVAILABLE);
    assert.match(
      error.message,
      /^the API server cannot tell whether .* until its authorizers answer: .*127\.0\.0\.1:1/,
    );
    return true;
  });
});

test('the API server is away: what is known is good until it expires, and then nothing is', async () => {
  const access = make({ allowMs: 3000 });
  assert.equal((await access.check(pod('local'), 'flows', 'read', signal)).allowed, true);
  await api.kill();
  const away = (error: unknown) => error instanceof CallError && error.code === Code.UNAVAILABLE;
  assert.equal((await access.check(pod('local'), 'flows', 'read', signal)).allowed, true);
  await assert.rejects(access.check(pod('local'), 'limits', 'read', signal), away);
  await sleep(3000);
  await assert.rejects(access.check(pod('local'), 'flows', 'read', signal), away);
  await api.start();
  assert.equal((await access.check(pod('local'), 'flows', 'read', signal)).allowed, true);
});
