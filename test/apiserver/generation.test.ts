import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Beat, parseBeat } from '../../src/access/access-lease.ts';
import { createClusterAccess } from '../../src/access/cluster-access.ts';
import { followGeneration } from '../../src/access/followed-generation.ts';
import { type AccessPublisher, publishAccess } from '../../src/controller/access-publisher.ts';
import { type FollowedRbac, followRbac } from '../../src/controller/followed-rbac.ts';
import { unavailable } from '../../src/errors.ts';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import { LEASES } from '../../src/kubernetes/lease.ts';
import { createLogger } from '../../src/logger.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';

const RBAC = 'rbac.authorization.k8s.io';
const LEASE = { namespace: 'default', name: 'csi-driver-bpffs-access' };
const timing = { beatMs: 100, lookMs: 100, takeOverMs: 500, pauseMs: 20 };
const log = createLogger('error');

let api: ApiServer;
let controller: KubernetesClient;
const replicas: { readonly rbac: FollowedRbac; readonly publisher: AccessPublisher }[] = [];

before(async () => {
  api = await startApiServer();
  controller = await api.clientFor('controller', [
    { apiGroups: [RBAC], resources: ['*'], verbs: ['list', 'watch'] },
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'patch', 'create'] },
  ]);
});
afterEach(async () => {
  for (const replica of replicas.splice(0)) await stop(replica);
});
after(() => api?.stop());

function startReplica(client: KubernetesClient = controller) {
  const rbac = followRbac({ client, log, changed: () => publisher.changed() });
  const publisher = publishAccess({ client, lease: LEASE, rbac, log, timing });
  const replica = { rbac, publisher };
  replicas.push(replica);
  return replica;
}

async function stop({ rbac, publisher }: (typeof replicas)[number]) {
  await publisher.close();
  rbac.close();
}

/** What the Lease says; waits for a replica to say so. */
async function said(what = 'a replica holds the Lease', is: (beat: Beat) => boolean = () => true): Promise<Beat> {
  return eventually(what, 10, async () => {
    const beat = parseBeat(await api.admin.get(LEASES, LEASE));
    return beat !== undefined && beat.holder !== '' && is(beat) && beat;
  });
}

/** The generation after the `change`, if there is another within half a second. */
async function withChange(change: () => Promise<unknown>): Promise<{ readonly before: string; readonly now: string }> {
  await sleep(300);
  const { generation: before } = await said();
  await change();
  await sleep(500);
  return { before, now: (await said()).generation };
}

const role = (name: string, rule: object) => ({
  apiVersion: `${RBAC}/v1`,
  kind: 'Role',
  metadata: { name, namespace: 'default' },
  rules: [rule],
});
const ofMaps = { apiGroups: ['bpffs.dev'], resources: ['bpfmaps'], verbs: ['read'] };
const ofPods = { apiGroups: [''], resources: ['pods'], verbs: ['get'] };
const binding = (name: string, roleName: string, subject: object) => ({
  apiVersion: `${RBAC}/v1`,
  kind: 'RoleBinding',
  metadata: { name, namespace: 'default' },
  roleRef: { apiGroup: RBAC, kind: 'Role', name: roleName },
  subjects: [subject],
});
const account = (name: string) => ({ kind: 'ServiceAccount', name, namespace: 'default' });
const user = { kind: 'User', apiGroup: RBAC, name: 'ann' };
const remove = (kind: string, name: string) => api.kubectl(['delete', kind, name, '--namespace=default']);

test('a change of a grant makes another generation, and nothing else does', async () => {
  startReplica();
  await said();
  const changes: readonly (readonly [string, boolean, () => Promise<unknown>])[] = [
    ['a role of other objects', false, () => api.apply(role('pods', ofPods))],
    ['a binding to it', false, () => api.apply(binding('pods', 'pods', account('a')))],
    ['a binding to a role that is not there', false, () => api.apply(binding('maps', 'maps', account('a')))],
    ['that role', true, () => api.apply(role('maps', ofMaps))],
    ['a label', false, () => api.kubectl(['label', 'role', 'maps', 'a=b', '--namespace=default'])],
    ['a binding of a user who is no pod', false, () => api.apply(binding('ann', 'maps', user))],
    ['another name', true, () => api.apply(role('maps', { ...ofMaps, resourceNames: ['flows'] }))],
    ['another subject', true, () => api.apply(binding('maps', 'maps', account('b')))],
    [
      'a binding of every account',
      true,
      () => api.apply(binding('all', 'maps', { ...user, kind: 'Group', name: 'system:serviceaccounts' })),
    ],
    ['no binding', true, () => remove('rolebinding', 'all')],
    ['no role', true, () => remove('role', 'maps')],
  ];
  for (const [what, isChange, change] of changes) {
    const { before, now } = await withChange(change);
    assert.equal(before !== now, isChange, what);
  }
});

test('a grant that is given and withdrawn leaves another generation, with the same digest', async () => {
  startReplica();
  await said();
  await api.apply(role('maps', ofMaps));
  const { before, now } = await withChange(async () => {
    await api.apply(binding('brief', 'maps', account('a')));
    await remove('rolebinding', 'brief');
  });
  const [[one, digest], [other, same]] = [before.split('.'), now.split('.')];
  assert.equal(same, digest);
  assert(Number(other) > Number(one));
});

test('a restart keeps the generation, unless a grant has changed meanwhile', async () => {
  const first = startReplica();
  const { generation, holder } = await said();
  await stop(first);
  const second = startReplica();
  const kept = await said('the second holds it', (beat) => beat.holder !== holder);
  assert.equal(kept.generation, generation);
  await stop(second);
  await api.apply(role('maps', ofMaps), binding('meanwhile', 'maps', account('a')));
  startReplica();
  const next = await said('the third holds it', (beat) => beat.holder !== kept.holder);
  assert.notEqual(next.generation, generation);
});

test('of two replicas one holds the Lease; the other takes over when it falls silent', async () => {
  let isSilent = false;
  startReplica({
    ...controller,
    patch: (...args) => (isSilent ? Promise.reject(unavailable('silent')) : controller.patch(...args)),
  });
  const { generation, holder } = await said('the first holds it');
  startReplica();
  await sleep(1000);
  assert.equal((await said()).holder, holder);
  isSilent = true;
  const after = await said('the second holds it', (beat) => beat.holder !== holder);
  assert.equal(after.generation, generation);
});

test('a deleted Lease comes back with a generation that was never there', async () => {
  startReplica();
  const { generation } = await said();
  await api.kubectl(['delete', 'lease', LEASE.name, '--namespace=default']);
  const again = await said('it is back');
  assert.notEqual(again.generation, generation);
  assert.equal(again.generation.split('.')[1], generation.split('.')[1]);
});

test('a node asks nothing until a grant is withdrawn, and again every 30 s without the controller', async (t) => {
  const replica = startReplica();
  await api.apply(role('flows', ofMaps), binding('flows', 'flows', account('withdrawn')));
  await said();
  const driver = await api.clientFor('node', [
    { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
    {
      apiGroups: ['coordination.k8s.io'],
      resources: ['leases'],
      resourceNames: [LEASE.name],
      verbs: ['list', 'watch'],
    },
  ]);
  let reviews = 0;
  const client: KubernetesClient = {
    ...driver,
    create(...args) {
      reviews += 1;
      return driver.create(...args);
    },
  };
  let clock = 0;
  const now = () => clock;
  const generation = followGeneration({ client, lease: LEASE, now });
  t.after(() => generation.close());
  /** A node's clock runs faster than the controller's: with each pair of renewals ten seconds pass. */
  const pass = async (seconds: number) => {
    for (let left = seconds; left > 0; left -= 10) {
      await sleep(2 * timing.beatMs);
      clock += 10_000;
    }
  };
  const access = createClusterAccess({ client, generation, now });
  const pod = { namespace: 'default', serviceAccount: 'withdrawn', podName: 'p', podUid: 'u' };
  const look = async () => (await access.check(pod, 'flows', 'read', new AbortController().signal)).allowed;
  await pass(90);
  assert.equal(generation.isHeard(), true);
  assert.equal(await look(), true);
  for (let again = 0; again < 3; again += 1) {
    await pass(60);
    assert.equal(await look(), true);
  }
  assert.equal(reviews, 1);

  await remove('rolebinding', 'flows');
  // The clock stands still: only the controller can have told it.
  await eventually('it is withdrawn', 10, async () => !(await look()));
  await api.apply(binding('flows', 'flows', account('withdrawn')));
  await eventually('it is granted', 10, async () => {
    await pass(20);
    return look();
  });
  await pass(120);
  assert.equal(await look(), true);

  await stop(replica);
  replicas.pop();
  await remove('rolebinding', 'flows');
  await pass(30);
  assert.equal(await look(), true, 'the controller may have been heard until now');
  await pass(10);
  assert.equal(await look(), false);
  const before = reviews;
  await pass(40);
  await look();
  assert.equal(reviews, before + 1);
});
