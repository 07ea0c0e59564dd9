import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { denialsReportSchema } from '../../src/inspection/reports.ts';
import { VolumeHealthErrorType as Status } from '../../src/rpc/csi.ts';
import { CATALOG, call, GRANTS, type Harness, publishRequest, startHarness, until } from './harness.ts';

const XDP = { commands: ['prog_load', 'map_create'], mapTypes: ['hash'], programTypes: ['xdp'], attachTypes: ['xdp'] };
const delegation = (name: string, spec: object) => `---
apiVersion: bpffs.dev/v1alpha1
kind: BpfDelegation
metadata: { name: ${name} }
spec: ${JSON.stringify(spec)}
`;
const USE = '- { apiGroups: [bpffs.dev], resources: [bpfdelegations], resourceNames: [xdp, gone], verbs: [use] }\n---';
const GRANTED = GRANTS.replace('---', USE);

let harness: Harness;
before(async () => {
  harness = await startHarness();
  writeFileSync(harness.files.catalog, CATALOG + delegation('xdp', XDP) + delegation('tc', XDP));
  writeFileSync(harness.files.grants, GRANTED);
  await until(
    'both are in use',
    () => harness.log.filter(({ message }) => /^new .* in use$/.test(`${message}`)).length > 1,
  );
});
after(() => harness[Symbol.asyncDispose]());

let pods = 0;
/** Of a new pod. */
function request(attributes: Readonly<Record<string, string>> = {}, readonly = false) {
  const pod = `pod-${pods++}`;
  return publishRequest((r) => {
    r.volumeId = `csi-${pod}`;
    r.targetPath = `/var/lib/kubelet/pods/${pod}/volumes/kubernetes.io~csi/bpf/mount`;
    r.readonly = readonly;
    const { maps: _, ...context } = r.volumeContext;
    r.volumeContext = { ...context, delegation: 'xdp', hostUsers: 'false', ...attributes };
  });
}
const publish = (asked: ReturnType<typeof request>) => call(harness.node, harness.node.nodePublishVolume, asked);
const given = ({ targetPath }: { readonly targetPath: string }) => harness.pinner.delegations.get(targetPath);
const audits = ({ volumeId }: { readonly volumeId: string }) =>
  harness.log.filter((line) => line.message === 'audit' && line.volumeId === volumeId);
async function metric(series: string): Promise<number> {
  const text = await (await fetch(`${harness.http}/metrics`)).text();
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length),
  );
}

test('a pod gets what its BpfDelegation lists', async () => {
  const asked = request();
  assert.deepEqual(await publish(asked), { code: 'OK', message: '', response: {} });
  const { volumeId, targetPath } = asked;
  const owner = { namespace: 'prod', serviceAccount: 'collector' };
  assert.deepEqual(given(asked), { volumeId, targetPath, delegation: XDP, owner, request: 'delegation: xdp' });
  const [line, ...others] = audits(asked);
  assert.deepEqual(others, []);
  const { decision, type, bpfDelegation, rule, delegated } = line ?? {};
  assert.deepEqual([decision, type, bpfDelegation, delegated], ['allowed', 'delegation', 'xdp', XDP]);
  assert.match(`${rule}`, /^RoleBinding prod\/collector at /);
});

const refusals: readonly (readonly [string, ReturnType<typeof request>, string, RegExp])[] = [
  [
    'without a user namespace',
    request({ hostUsers: 'true' }),
    'INVALID_ARGUMENT',
    /^volumeAttributes\.hostUsers: a delegation takes/,
  ],
  [
    'with maps',
    request({ maps: 'flows' }),
    'INVALID_ARGUMENT',
    /^volumeAttributes: both maps and delegation are given/,
  ],
  [
    'with no name',
    request({ delegation: '' }),
    'INVALID_ARGUMENT',
    /^volumeAttributes\.delegation: "" is no BpfDelegation/,
  ],
  [
    'with a bad name',
    request({ delegation: 'a, b' }),
    'INVALID_ARGUMENT',
    /^volumeAttributes\.delegation: "a, b" is no/,
  ],
  ['read-only', request({}, true), 'INVALID_ARGUMENT', /^readOnly: the pod writes to the volume/],
  ['that does not exist', request({ delegation: 'gone' }), 'NOT_FOUND', /^there is no BpfDelegation "gone"$/],
  [
    'that is not granted',
    request({ delegation: 'tc' }),
    'PERMISSION_DENIED',
    /^system:serviceaccount:prod:collector may not use delegation "tc" \(no grant: allow verb "use" on bpfdelegations\.bpffs\.dev\/tc in .*grants\.yaml\)$/,
  ],
];
for (const [what, asked, code, message] of refusals) {
  test(`a delegation ${what} is refused`, async () => {
    const answer = await publish(asked);
    assert.equal(answer.code, code, answer.message);
    assert.match(answer.message, message);
    assert.equal(given(asked), undefined);
  });
}

test('a persistent volume has none', async () => {
  const asked = request();
  asked.volumeContext['csi.storage.k8s.io/ephemeral'] = 'false';
  const { code, message } = await publish(asked);
  assert.deepEqual(
    [code, message],
    ['INVALID_ARGUMENT', 'volumeAttributes.delegation: a delegation is for one pod: write it in an inline volume'],
  );
});

test('a refusal is written once for all retries of a pod', async () => {
  const [ungranted, absent] = [request({ delegation: 'tc' }), request({ delegation: 'gone' })];
  const before = await metric('bpffs_denials_total{verb="use",reason="grant"}');
  for (const asked of [ungranted, ungranted, absent, absent]) await publish(asked);
  const reasons = [ungranted, absent].map((asked) => audits(asked).map(({ decision, reason }) => [decision, reason]));
  assert.deepEqual(reasons, [[['denied', 'grant']], [['denied', 'absent']]]);
  assert.equal(await metric('bpffs_denials_total{verb="use",reason="grant"}'), before + 2);
});

/** By the reason, of the denials that a delegation has had. */
async function denials(name: string) {
  const report = denialsReportSchema.parse(await (await fetch(`${harness.inspection}/denials`)).json());
  return new Map(report.delegations?.filter((one) => one.bpfDelegation === name).map((one) => [one.reason, one]));
}

test('the report of denials has it, with the verb, the last pod, the reason and what to do', async () => {
  const counts = async (name: string, reason: string) => (await denials(name)).get(reason)?.count ?? 0;
  const [ungranted, absent] = [await counts('tc', 'grant'), await counts('gone', 'absent')];
  for (const name of ['tc', 'tc', 'gone']) await publish(request({ delegation: name }));
  assert.equal(await counts('gone', 'absent'), absent + 1);
  assert.equal((await denials('gone')).get('absent')?.message, 'there is no BpfDelegation "gone"');
  const { first, last, message, ...found } = (await denials('tc')).get('grant') ?? assert.fail();
  const who = { namespace: 'prod', serviceAccount: 'collector', pod: 'collector-0' };
  assert.deepEqual(found, { ...who, bpfDelegation: 'tc', verb: 'use', reason: 'grant', count: ungranted + 2 });
  assert(first <= last);
  assert.match(
    message,
    /may not use delegation "tc" \(no grant: allow verb "use" on bpfdelegations\.bpffs\.dev\/tc in /,
  );
});

test('what the pinner refuses is what the kubelet hears', async () => {
  const asked = request();
  const details = 'this kernel, 6.8.0, has no BPF tokens: a delegation takes Linux 6.9';
  harness.pinner.failWith = { code: 9, details, but: 'DescribeVolume' };
  const { code, message } = await publish(asked);
  harness.pinner.failWith = undefined;
  assert.deepEqual([code, message], ['FAILED_PRECONDITION', details]);
});

test('a running pod keeps what it has when the object changes, and a new one gets the new', async () => {
  const asked = request();
  await publish(asked);
  const tc = { ...XDP, programTypes: ['sched_cls'], attachTypes: ['tcx_ingress'] };
  writeFileSync(harness.files.catalog, CATALOG + delegation('xdp', tc));
  await until('new pods get the new', async () => {
    const fresh = request();
    await publish(fresh);
    return given(fresh)?.delegation?.programTypes.join() === 'sched_cls';
  });
  assert.equal((await publish(asked)).code, 'OK');
  assert.deepEqual(given(asked)?.delegation, XDP);
  writeFileSync(harness.files.catalog, CATALOG);
  await until('there is none any more', async () => (await publish(request())).code === 'NOT_FOUND');
  assert.equal((await publish(asked)).code, 'OK');
  writeFileSync(harness.files.catalog, CATALOG + delegation('xdp', XDP));
  await until('it is there again', async () => (await publish(request())).code === 'OK');
});

test('a grant that is withdrawn takes nothing from a running pod but the next token, and is told once', async () => {
  const asked = request();
  await publish(asked);
  await publish(asked);
  assert(!harness.pinner.withdrawn.has(asked.targetPath));
  const changes = 'bpffs_volume_changes_total{reason="DelegationRevoked"}';
  const before = await metric(changes);
  writeFileSync(harness.files.grants, GRANTS);
  await until('it is withdrawn', async () => (await publish(request())).code === 'PERMISSION_DENIED');
  const denied = async () => (await denials('xdp')).get('grant')?.count ?? 0;
  const deniedBefore = await denied();
  for (let time = 0; time < 3; time++) assert.equal((await publish(asked)).code, 'OK');
  assert.equal(await denied(), deniedBefore + 3);
  assert.deepEqual(given(asked)?.delegation, XDP);
  assert(harness.pinner.withdrawn.has(asked.targetPath));
  assert.equal(await metric(changes), before + 1);
  const lines = harness.log.filter(({ volumeId, revoked }) => volumeId === asked.volumeId && revoked === 'xdp');
  assert.equal(lines.length, 3);

  const place = { volumeId: asked.volumeId, volumePublishPath: asked.targetPath, stagingTargetPath: '' };
  const health = await call(harness.node, harness.node.nodeGetVolumeHealth, place);
  const [status, ...others] = health.response?.volumeHealth?.healthStatuses ?? [];
  assert.deepEqual([status?.status, status?.reason, others], [Status.DEGRADED, 'DelegationRevoked', []]);

  writeFileSync(harness.files.grants, GRANTED);
  await until('it is granted again', async () => (await publish(request())).code === 'OK');
  await publish(asked);
  assert(!harness.pinner.withdrawn.has(asked.targetPath));
  writeFileSync(harness.files.grants, GRANTS);
  await until('it is withdrawn again', async () => (await publish(request())).code === 'PERMISSION_DENIED');
  await publish(asked);
  assert.equal(await metric(changes), before + 2);
  writeFileSync(harness.files.grants, GRANTED);
  await until('it is granted again', async () => (await publish(request())).code === 'OK');
});

test('the report of volumes names it, without a type, which readers of before would not take', async () => {
  const asked = request();
  await publish(asked);
  const report = (await (await fetch(`${harness.inspection}/volumes`)).json()) as { volumes: { volumeId: string }[] };
  const volume = report.volumes.find(({ volumeId }) => volumeId === asked.volumeId);
  const { type, delegation, files, name } = { ...volume } as Record<string, unknown>;
  assert.deepEqual({ type, delegation, files, name }, { type: null, delegation: 'xdp', files: [], name: 'bpf' });
});

test('it goes with its pod', async () => {
  const asked = request();
  await publish(asked);
  const { volumeId, targetPath } = asked;
  const unpublished = await call(harness.node, harness.node.nodeUnpublishVolume, { volumeId, targetPath });
  assert.equal(unpublished.code, 'OK');
  assert.equal(given(asked), undefined);
});
