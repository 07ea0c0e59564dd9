import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { PodIdentity } from '../../src/access/access.ts';
import { CallError } from '../../src/errors.ts';
import { useNoAdmission } from './admission.ts';
import { createToken, type Direct, identityOf, openDirect } from './direct.ts';
import { nodeMaps } from './node-maps.ts';
import { account, clusterRoleBinding, group, mapRole, pinnedMap, roleBinding, serviceAccount } from './objects.ts';
import { inline, pod } from './pods.ts';
import { cluster } from './running.ts';
import { useSpace } from './space.ts';

const FLOWS = 'e2e-flows';
const LIMITS = 'e2e-limits';
const FLOWS_PATH = `/maps/${FLOWS}`;

const maps = nodeMaps(cluster);
// It would refuse most of these pods before the driver sees them.
useNoAdmission();
const space = useSpace();

before(async () => {
  await maps.create('e2e/flows', { 7: 42 });
  await maps.create('e2e/limits', { 1: 10 });
  await space.apply(
    pinnedMap(FLOWS, 'e2e/flows'),
    pinnedMap(LIMITS, 'e2e/limits', { maxAccess: 'ReadWrite' }),
    mapRole('e2e-reader', { read: [FLOWS] }),
    mapRole('e2e-writer', { write: [FLOWS, LIMITS] }),
  );
});
after(() => maps.remove('e2e'));

/** A pod with its own account, of the same name. */
const applicant = (name: string, attributes = { maps: FLOWS }) => [
  serviceAccount(name),
  pod(name, { serviceAccount: name, volume: inline(attributes) }),
];

suite('a pod without a grant', () => {
  test('waits, with an event that says who lacks what, and starts by itself once the commands in it were run', async () => {
    await space.apply(...applicant('patient', { maps: `${FLOWS}, ${LIMITS}:rw` }));
    const description = await space.described('pod/patient', /FailedMount .*PermissionDenied/);
    const user = `system:serviceaccount:${space.name}:patient`;
    assert.match(
      description,
      new RegExp(`PermissionDenied .*${user} may not read map "${FLOWS}" .*, write map "${LIMITS}"`),
    );
    const commands = [...description.matchAll(/\(no grant: (kubectl [^)]+)\)/g)].map(([, command]) => command ?? '');
    assert.equal(commands.length, 2);
    for (const command of commands) await cluster.run('bash', '-euc', command);
    await space.ready('patient');
    assert.equal(await space.read('patient', FLOWS_PATH), '7=42');
    await space.exec('patient', 'map', 'write', `/maps/${LIMITS}`, '2', '20');
  });

  test('is told when no grant would help', async () => {
    await space.apply(
      ...applicant('hopeful', { maps: `${FLOWS}:rw` }),
      roleBinding('hopeful', 'e2e-writer', account(space.name, 'hopeful')),
    );
    await space.described(
      'pod/hopeful',
      /may not write map "e2e-flows" \(nobody may: its spec\.maxAccess is ReadOnly; ask for it without :rw\)/,
    );
  });

  test('is told of a map that nobody has named', async () => {
    await space.apply(...applicant('mistaken', { maps: 'e2e-flow' }));
    await space.described('pod/mistaken', /NotFound .*"e2e-flow".*e2e-flows/);
  });

  test('has none by a binding in another namespace', async () => {
    await space.apply(...applicant('foreign'), {
      ...roleBinding('foreign', 'e2e-reader', account(space.name, 'foreign')),
      metadata: { name: 'foreign', namespace: 'default' },
    });
    try {
      await space.described('pod/foreign', /PermissionDenied .*:foreign may not read map/);
    } finally {
      await cluster.kubectl('delete', 'rolebinding', 'foreign', '--namespace=default');
    }
  });
});

suite('a grant', () => {
  const runs = async (name: string, grant: object) => {
    await space.apply(...applicant(name), grant);
    await space.ready(name);
    assert.equal(await space.read(name, FLOWS_PATH), '7=42');
  };

  test('in the namespace', () => runs('local', roleBinding('local', 'e2e-reader', account(space.name, 'local'))));
  test('in the whole cluster', () =>
    runs('global', clusterRoleBinding(`${space.name}-global`, 'e2e-reader', account(space.name, 'global'))));

  test('to write is enough to write, and to read what was asked for with :rw', async () => {
    const grant = roleBinding('writer', 'e2e-writer', account(space.name, 'writer'));
    await space.apply(...applicant('writer', { maps: `${LIMITS}:rw` }), grant);
    await space.ready('writer');
    await space.exec('writer', 'map', 'write', `/maps/${LIMITS}`, '3', '30');
    assert.match(await space.read('writer', `/maps/${LIMITS}`), /1=10 .*3=30/);
  });

  test('to all service accounts of a namespace', async () => {
    const grant = clusterRoleBinding(
      `${space.name}-group`,
      'e2e-reader',
      group(`system:serviceaccounts:${space.name}`),
    );
    await runs('member', grant);
    await cluster.kubectl('delete', 'clusterrolebinding', `${space.name}-group`);
  });
});

suite('who asks', () => {
  let direct: Direct;
  let owner: PodIdentity;
  let neighbour: PodIdentity;

  before(async () => {
    direct = openDirect();
    await space.apply(serviceAccount('owner'), roleBinding('owner', 'e2e-reader', account(space.name, 'owner')));
    await space.start(pod('owner', { serviceAccount: 'owner' }), pod('neighbour', { serviceAccount: 'owner' }));
    [owner, neighbour] = [await identityOf(space, 'owner'), await identityOf(space, 'neighbour')];
  });
  after(() => direct.close());

  const refused = async (as: PodIdentity, token: string | undefined, says: RegExp) => {
    const error: unknown = await direct.publish(as, FLOWS, token).then(
      () => direct.unpublish(as),
      (error: unknown) => error,
    );
    assert(error instanceof CallError, `${error ?? 'it was published'}`);
    assert.equal(error.message.includes(token ?? 'no token'), false, 'the token is in the answer');
    assert.match(`${error.code} ${error.message}`, says);
    assert.equal(await direct.isPublished(as), false);
  };

  test('the pod itself, with a token for the driver: answered', async () => {
    await direct.publish(owner, FLOWS, await createToken(owner, owner));
    assert.equal(await direct.isPublished(owner), true);
    await direct.unpublish(owner);
    assert.equal(await direct.isPublished(owner), false);
  });

  test('nobody: refused', () => refused(owner, undefined, /^16 .*no service account token/));
  test('somebody with a text: refused', () => refused(owner, 'e30.e30.e30', /^16 .*does not accept/));

  test('somebody with a forged token: refused', async () => {
    const [head, , signature] = (await createToken(owner, owner)).split('.');
    const [, claims] = (await createToken(neighbour, neighbour)).split('.');
    await refused(neighbour, [head, claims, signature].join('.'), /^16 .*does not accept/);
  });

  test('somebody with a token for another audience: refused', async () => {
    const token = await createToken(owner, owner, 'https://kubernetes.default.svc');
    await refused(owner, token, /^16 .*(does not accept|is not for)/);
  });

  test('somebody with a token of the account alone: refused', async () =>
    refused(owner, await createToken(owner), /^16 .*bound to no pod/));

  test('another pod of the same account: refused', async () =>
    refused(owner, await createToken(neighbour, neighbour), /^16 .*its pod is "neighbour".* says "owner"/));

  test('the same name at another time: refused', async () => {
    const before = { ...owner, podUid: neighbour.podUid };
    await refused(before, await createToken(owner, owner), /^16 .*its pod uid is/);
  });

  test('another account: refused', async () => {
    const other = { ...owner, serviceAccount: 'default' };
    await refused(other, await createToken(owner, owner), /^16 .*its service account is .*:owner"/);
  });

  test('another namespace: refused', async () => {
    const other = { ...owner, namespace: 'default' };
    await refused(other, await createToken(owner, owner), /^16 .*its service account is/);
  });

  test('a pod on another node: refused', async () => {
    await space.apply(pod('elsewhere', { serviceAccount: 'owner', spec: { nodeName: 'node-2' } }));
    const elsewhere = await identityOf(space, 'elsewhere');
    await refused(elsewhere, await createToken(elsewhere, elsewhere), /^16 .*on node "node-2".* this is "node-1"/);
    await space.kubectl('delete', 'pod/elsewhere', '--force', '--ignore-not-found');
  });

  test('a pod without a node: refused', async () => {
    await space.apply(pod('nowhere', { serviceAccount: 'owner', spec: { nodeSelector: { 'no-such': 'label' } } }));
    const nowhere = await identityOf(space, 'nowhere');
    await refused(nowhere, await createToken(nowhere, nowhere), /^16 .*before the pod had a node/);
    await space.stop('nowhere');
  });

  test('a pod that says of itself that it is another: refused', async () => {
    const token = JSON.stringify({ 'csi.bpffs.dev': { token: await createToken(owner, owner) } });
    const attributes = {
      maps: FLOWS,
      'csi.storage.k8s.io/pod.namespace': owner.namespace,
      'csi.storage.k8s.io/serviceAccount.name': owner.serviceAccount,
      'csi.storage.k8s.io/pod.name': owner.podName,
      'csi.storage.k8s.io/pod.uid': owner.podUid,
      'csi.storage.k8s.io/serviceAccount.tokens': token,
    };
    await space.apply(...applicant('pretender', attributes));
    await space.described('pod/pretender', /PermissionDenied .*:pretender may not read map "e2e-flows"/);
    await space.stop('pretender');
  });

  test('a pod that was deleted: refused', async () => {
    await space.start(pod('late', { serviceAccount: 'owner' }));
    const late = await identityOf(space, 'late');
    const token = await createToken(late, late);
    await space.stop('late');
    await refused(late, token, /^16 .*does not accept/);
  });
});

suite('while the CSIDriver object lets pods say who they are', () => {
  const set = (spec: object) =>
    cluster.kubectl('patch', 'csidriver/csi.bpffs.dev', '--type=merge', `--patch=${JSON.stringify({ spec })}`);

  test('no pod gets maps, and running ones keep theirs', async () => {
    const grant = roleBinding('careful', 'e2e-reader', account(space.name, 'careful'));
    const running = pod('running', { serviceAccount: 'careful', volume: inline({ maps: FLOWS }) });
    await space.apply(...applicant('careful'), grant, running);
    await space.ready('careful', 'running');
    await space.stop('careful');
    await set({ podInfoOnMount: false });
    try {
      await space.apply(...applicant('careful'));
      await space.described(
        'pod/careful',
        /FailedPrecondition .*CSIDriver csi\.bpffs\.dev: podInfoOnMount must be true/,
      );
      await space.described('pod/running', /Unavailable .*podInfoOnMount must be true/);
      assert.equal(await space.read('running', FLOWS_PATH), '7=42');
    } finally {
      await set({ podInfoOnMount: true });
    }
    await space.ready('careful');
    assert.equal(await space.read('running', FLOWS_PATH), '7=42');
  });
});
