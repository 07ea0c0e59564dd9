import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PodIdentity } from '../../src/access/access.ts';
import { createTokenVerifier, type TokenVerifier, type TokenVerifierOptions } from '../../src/access/token-verifier.ts';
import { CallError, Code } from '../../src/errors.ts';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { AUDIENCE, forge, makePod, NODE, podToken, resign, serviceAccountToken } from './pods.ts';

const signal = new AbortController().signal;

let api: ApiServer;
let client: KubernetesClient;
let pod: PodIdentity;
let token: string;
let verifier: TokenVerifier;
let looked: string[];

before(async () => {
  api = await startApiServer();
  client = await api.clientFor('driver', [
    { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  ]);
  pod = await makePod(api, 'prod', 'collector-0', 'collector');
  token = await podToken(api, pod);
});
after(() => api?.stop());
beforeEach(() => {
  verifier = make();
});

function make(options: Partial<TokenVerifierOptions> = {}): TokenVerifier {
  looked = [];
  return createTokenVerifier({
    client,
    audience: AUDIENCE,
    nodeName: NODE,
    lookedUp: (age) => looked.push(age === undefined ? 'miss' : 'hit'),
    ...options,
  });
}

async function refused(verifying: Promise<unknown>, message: RegExp, secret = token): Promise<void> {
  await assert.rejects(verifying, (error) => {
    assert(error instanceof CallError, String(error));
    assert.equal(error.code, Code.UNAUTHENTICATED, error.message);
    assert.match(error.message, message);
    for (const part of secret.split('.')) assert(!error.message.includes(part), 'the token is not told');
    return true;
  });
}

test("the pod's own token is good, and is reviewed once", async () => {
  assert.deepEqual(await verifier.verify(pod, token, signal), pod);
  await verifier.verify(pod, token, signal);
  assert.deepEqual(looked, ['miss', 'hit']);
});

const others: readonly (readonly [string, Partial<PodIdentity>, RegExp])[] = [
  [
    'namespace',
    { namespace: 'dev' },
    /its service account is "system:serviceaccount:prod:collector", and the kubelet says "system:serviceaccount:dev:collector"$/,
  ],
  [
    'service account',
    { serviceAccount: 'other' },
    /its service account is "[a-z:]+", and the kubelet says "system:serviceaccount:prod:other"$/,
  ],
  ['pod', { podName: 'collector-1' }, /its pod is "collector-0", and the kubelet says "collector-1"$/],
  ['pod of the same name', { podUid: 'u' }, /its pod uid is "[0-9a-f-]{36}", and the kubelet says "u"$/],
];
for (const [what, change, message] of others) {
  test(`another ${what} does not get through with it, known or not`, async () => {
    await refused(verifier.verify({ ...pod, ...change }, token, signal), message);
    await refused(verifier.verify({ ...pod, ...change }, token, signal), message);
    await verifier.verify(pod, token, signal);
    assert.deepEqual(looked, ['miss', 'hit', 'hit']);
  });
}

test('a token is not good on another node', () =>
  refused(
    make({ nodeName: 'node-2' }).verify(pod, token, signal),
    /is for a pod on node "node-1", and this is "node-2"$/,
  ));

test('a token that was made before the pod had a node is not good', async () => {
  const early = await makePod(api, 'prod', 'unscheduled', 'collector', '');
  const made = await podToken(api, early);
  await refused(verifier.verify(early, made, signal), /token was made before the pod had a node$/, made);
});

test('an API server that does not look at audiences says nothing of the token', async () => {
  const blind: Pick<KubernetesClient, 'create'> = {
    async create(...args) {
      const { audiences: _, ...status } = (await client.create(...args)).status as Record<string, unknown>;
      return { ...(await client.create(...args)), status };
    },
  };
  await refused(
    make({ client: blind }).verify(pod, token, signal),
    /^the pod's .* token is not for "csi\.bpffs\.dev"$/,
  );
});

test('an API server that repeats the token is not repeated', async () => {
  const talkative: Pick<KubernetesClient, 'create'> = {
    create: async (...args) => ({ ...(await client.create(...args)), status: { error: `bad ${token}` } }),
  };
  await refused(make({ client: talkative }).verify(pod, token, signal), /does not accept .*: bad …$/);
});

test('a token for another audience is not good, and neither is one for the API server', async () => {
  const other = await podToken(api, pod, 'other.dev');
  await refused(verifier.verify(pod, other, signal), /^the API server does not accept .*audience/, other);
  const plain = await serviceAccountToken(api, pod, []);
  await refused(verifier.verify(pod, plain, signal), /^the API server does not accept .*audience/, plain);
});

test('a token that is bound to no pod is not good', async () => {
  const unbound = await serviceAccountToken(api, pod, [`--audience=${AUDIENCE}`]);
  await refused(verifier.verify(pod, unbound, signal), /^the pod's service account token is bound to no pod$/, unbound);
});

test('what is forged, broken, expired or nonsense is not good', async () => {
  const second = Math.floor(Date.now() / 1000);
  const expired = resign(api, token, { iat: second - 7200, nbf: second - 7200, exp: second - 3600 });
  await refused(verifier.verify(pod, expired, signal), /^the API server does not accept .*expired/, expired);
  for (const bad of [
    forge(token),
    token.slice(0, -8),
    `${token}x`,
    'nonsense',
    '.',
    resign(api, token, { iss: 'https://other' }),
  ]) {
    await refused(verifier.verify(pod, bad, signal), /^the API server does not accept/, bad === '.' ? 'none' : bad);
  }
  assert.deepEqual(new Set(looked), new Set(['miss']), 'what is refused is not kept');
});

test('a deleted pod is not let in by its token', async () => {
  const gone = await makePod(api, 'prod', 'short-lived', 'collector');
  const left = await podToken(api, gone);
  await api.kubectl(['delete', 'pod', '--namespace=prod', '--grace-period=0', '--force', 'short-lived']);
  await refused(make().verify(gone, left, signal), /^the API server does not accept/, left);
});

test('what the driver may not ask is said', async () => {
  const nobody = await api.clientFor('nobody', []);
  await assert.rejects(
    make({ client: nobody }).verify(pod, token, signal),
    /^CallError: the driver may not create tokenreviews\.authentication\.k8s\.io: its ClusterRole lacks/,
  );
});

test('the API server is away: a known token is good until it expires', async () => {
  const short = resign(api, token, { exp: Math.floor(Date.now() / 1000) + 4 });
  await verifier.verify(pod, short, signal);
  await verifier.verify(pod, token, signal);
  await api.kill();
  await verifier.verify(pod, short, signal);
  await sleep(4100);
  const away = (error: unknown) => error instanceof CallError && error.code === Code.UNAVAILABLE;
  await assert.rejects(verifier.verify(pod, short, signal), away);
  await assert.rejects(make().verify(pod, token, signal), away);
  await verifier.verify(pod, token, signal);
  await api.start();
});
