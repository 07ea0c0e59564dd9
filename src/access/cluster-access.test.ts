import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import { createClusterAccess } from './cluster-access.ts';
import { createGeneration } from './generation.ts';

const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };
const signal = new AbortController().signal;

const metadata = { name: '', uid: '', resourceVersion: '', creationTimestamp: '' };

/** An API server that answers with these statuses, one after the other. */
function answering(...statuses: readonly object[]) {
  let asked = 0;
  const create = async () => ({ metadata, status: statuses[asked++] });
  return { access: createClusterAccess({ client: { create } }), asked: () => asked };
}

const away = 'webhook: Post "https://authorizer": connection refused';
const verdicts: readonly (readonly [string, object])[] = [
  ['has no opinion', { allowed: false, evaluationError: away }],
  ['denies then', { allowed: false, denied: true, reason: 'no', evaluationError: away }],
];
for (const [what, status] of verdicts) {
  test(`an authorizer that is down and ${what} is UNAVAILABLE, which is not cached`, async () => {
    const { access, asked } = answering(status, { allowed: true });
    await assert.rejects(access.check(pod, 'flows', 'read', signal), (error) => {
      assert(error instanceof CallError);
      assert.equal(error.code, Code.UNAVAILABLE);
      assert.equal(
        error.message,
        `the API server cannot tell whether system:serviceaccount:prod:collector may read map "flows" until its authorizers answer: ${away}`,
      );
      return true;
    });
    assert.deepEqual(await access.check(pod, 'flows', 'read', signal), { allowed: true, rule: '' });
    assert.equal(asked(), 2);
  });
}

test('one authorizer that allows is enough', async () => {
  const { access } = answering({ allowed: true, evaluationError: away });
  assert.deepEqual(await access.check(pod, 'flows', 'read', signal), { allowed: true, rule: '' });
});

test('an answer says by which rule it allows, cut where it is long', async () => {
  const rule = 'RBAC: allowed by RoleBinding "prod/r" of Role "r" to ServiceAccount "prod/collector"';
  const { access } = answering({ allowed: true, reason: rule }, { allowed: true, reason: 'r'.repeat(10_000) });
  assert.deepEqual(await access.check(pod, 'flows', 'read', signal), { allowed: true, rule });
  const long = await access.check(pod, 'limits', 'read', signal);
  assert(long.allowed && Buffer.byteLength(long.rule) <= 200 && long.rule.startsWith('rrr'));
});

test('a denial with a reason is cached', async () => {
  const { access, asked } = answering({ allowed: false, reason: 'RBAC: role "r" not found', evaluationError: '' });
  for (let time = 0; time < 2; time += 1) {
    const decision = await access.check(pod, 'flows', 'read', signal);
    assert(!decision.allowed);
    assert.match(decision.remedy, /^kubectl create role .* \(RBAC: role "r" not found\)$/);
  }
  assert.equal(asked(), 1);
});

test('for a delegation it asks about bpfdelegations, and the remedy grants use of it', async () => {
  const asked: unknown[] = [];
  const create = async (_: unknown, review: { readonly [field: string]: unknown }) => {
    asked.push((review.spec as { resourceAttributes: unknown }).resourceAttributes);
    return { metadata, status: { allowed: false } };
  };
  const decision = await createClusterAccess({ client: { create } }).check(pod, 'xdp', 'use', signal);
  const attributes = { group: 'bpffs.dev', version: 'v1alpha1', resource: 'bpfdelegations', namespace: 'prod' };
  assert.deepEqual(asked, [{ ...attributes, name: 'xdp', verb: 'use' }]);
  assert(!decision.allowed);
  assert.equal(
    decision.remedy,
    "echo '{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: use-xdp, namespace: prod}, " +
      "rules: [{apiGroups: [bpffs.dev], resources: [bpfdelegations], resourceNames: [xdp], verbs: [use]}]}' | kubectl apply -f -; " +
      'kubectl create rolebinding use-xdp-collector -n prod --role=use-xdp --serviceaccount=prod:collector',
  );
});

test('a malformed review is UNAVAILABLE, and the error says what is wrong', async () => {
  const access = createClusterAccess({
    client: { create: async () => ({ metadata, status: { allowed: 'yes' } }) },
  });
  await assert.rejects(access.check(pod, 'flows', 'read', signal), {
    code: Code.UNAVAILABLE,
    message: /^what the API server answers to a SubjectAccessReview is none: status\.allowed: /,
  });
});

describe('with a generation of access', () => {
  const MINUTE = 60_000;
  const rule = 'RBAC: allowed by RoleBinding "prod/r"';

  /** A controller that is heard every ten seconds, and an API server that gives the same answer to all. */
  function cluster(status: object = { allowed: true, reason: rule }) {
    let clock = 0;
    let reviews = 0;
    let beating: { generation: string; holder: string } | undefined = { generation: '1.a', holder: 'one' };
    const now = () => clock;
    const generation = createGeneration(now);
    const client = {
      async create() {
        reviews += 1;
        return { metadata, status };
      },
    };
    const access = createClusterAccess({ client, generation, now });
    const pass = (ms: number) => {
      for (const end = clock + ms; clock < end; ) {
        clock += 10_000;
        if (beating !== undefined) generation.hear({ ...beating, ageMs: 60 * MINUTE });
      }
    };
    /** The kubelet's looks at pods of that many service accounts; returns how many reviews that took. */
    const look = async (accounts = 1) => {
      const before = reviews;
      for (let n = 0; n < accounts; n += 1) {
        await access.check({ ...pod, serviceAccount: `account-${n}` }, 'flows', 'read', signal);
      }
      return reviews - before;
    };
    pass(MINUTE);
    return {
      pass,
      look,
      become: (generation: string) => {
        beating = { generation, holder: 'one' };
      },
      stop: () => {
        beating = undefined;
      },
    };
  }

  test('looks at a running pod cost nothing until grants change', async () => {
    const { pass, look, become } = cluster();
    assert.equal(await look(), 1);
    for (let again = 0; again < 6; again += 1) {
      pass(90_000);
      assert.equal(await look(), 0);
    }
    become('2.b');
    pass(10_000);
    assert.equal(await look(), 1);
  });

  test('without the controller an answer is good for 30 s', async () => {
    const { pass, look, stop } = cluster();
    await look();
    pass(5 * MINUTE);
    stop();
    pass(30_000);
    assert.equal(await look(), 0);
    pass(10_000);
    assert.equal(await look(), 1);
    pass(30_000);
    assert.equal(await look(), 0);
    pass(10_000);
    assert.equal(await look(), 1);
  });

  test('old answers are asked for anew, one a minute, however many there are', async () => {
    const { pass, look } = cluster();
    assert.equal(await look(220), 220);
    let asked = 0;
    for (let minute = 0; minute < 240; minute += 1) {
      pass(MINUTE);
      const reviews = await look(220);
      assert(reviews <= 1, `${reviews} in minute ${minute}`);
      asked += reviews;
    }
    assert.equal(asked, 231);
  });

  test('a denial is asked for anew after ten minutes', async () => {
    const { pass, look } = cluster({ allowed: false });
    await look();
    pass(9 * MINUTE);
    assert.equal(await look(), 0);
    pass(MINUTE);
    assert.equal(await look(), 1);
  });

  for (const reason of ['', 'allowed by the webhook']) {
    test(`an allowing answer that is not RBAC's ("${reason}") is good for 30 s`, async () => {
      const { pass, look } = cluster({ allowed: true, reason });
      await look();
      pass(40_000);
      assert.equal(await look(), 1);
    });
  }
});
