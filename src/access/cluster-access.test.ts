import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import { createClusterAccess } from './cluster-access.ts';

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

test('a malformed review is UNAVAILABLE, and the error says what is wrong', async () => {
  const access = createClusterAccess({
    client: { create: async () => ({ metadata, status: { allowed: 'yes' } }) },
  });
  await assert.rejects(access.check(pod, 'flows', 'read', signal), {
    code: Code.UNAVAILABLE,
    message: /^what the API server answers to a SubjectAccessReview is none: status\.allowed: /,
  });
});
