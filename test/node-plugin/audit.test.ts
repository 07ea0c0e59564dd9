import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { call, GRANTS, type Harness, publishRequest, startHarness, until } from './harness.ts';

/** The audit lines, without what all lines have. */
const audits = ({ log }: Harness) =>
  log
    .filter(({ message }) => message === 'audit')
    .map(({ timestamp, level, message, ...fields }) => {
      assert.equal(level, 'INFO');
      return fields;
    });

const publish = ({ node }: Harness, change?: Parameters<typeof publishRequest>[0]) =>
  call(node, node.nodePublishVolume, publishRequest(change));

const WHO = { pod: 'prod/collector-0', serviceAccount: 'collector', node: 'node-1', volumeId: 'csi-1', type: 'maps' };

test('a line for what a pod gets, with the rule that grants it, and none for repetitions', async () => {
  await using harness = await startHarness();
  for (let time = 0; time < 3; time++) assert.equal((await publish(harness)).code, 'OK');
  const rule = `RoleBinding prod/collector at ${harness.files.grants}:11:13`;
  assert.deepEqual(audits(harness), [
    {
      decision: 'allowed',
      ...WHO,
      maps: [
        { bpfMap: 'flows', verb: 'read', id: 1, rule },
        { bpfMap: 'limits', verb: 'write', id: 2, rule },
      ],
    },
  ]);
});

test('a line for what changes in a running pod', async () => {
  await using harness = await startHarness();
  await publish(harness);
  await writeFile(harness.files.grants, GRANTS.replace('resourceNames: [flows, limits,', 'resourceNames: [limits,'));
  await until('the grant is withdrawn', async () => {
    await publish(harness);
    return audits(harness).length > 1;
  });
  await publish(harness);
  const [, changed, ...others] = audits(harness);
  const rule = `RoleBinding prod/collector at ${harness.files.grants}:11:13`;
  assert.deepEqual(others, []);
  assert.deepEqual(changed, {
    decision: 'changed',
    ...WHO,
    maps: [{ bpfMap: 'limits', verb: 'write', id: 2, rule }],
    changes: [{ file: 'flows', change: 'removed' }],
  });
});

test('a line for what is refused to a new pod, once for all of its retries', async () => {
  await using harness = await startHarness();
  const ask = (uid: string, maps = 'keys:rw, flows') =>
    publish(harness, (r) => {
      r.volumeContext.maps = maps;
      r.volumeContext['csi.storage.k8s.io/pod.uid'] = uid;
    });
  for (let time = 0; time < 3; time++) assert.equal((await ask('one')).code, 'PERMISSION_DENIED');
  const lines = audits(harness).map(({ maps, ...fields }) => {
    const [{ why = '', ...map } = {}, ...others] = maps as { why?: string }[];
    assert.match(why, /^system:serviceaccount:prod:collector may not write map "keys"/);
    return { ...fields, maps: [map, ...others] };
  });
  assert.deepEqual(lines, [{ decision: 'denied', ...WHO, maps: [{ bpfMap: 'keys', verb: 'write', reason: 'grant' }] }]);
  await ask('two');
  await ask('one', 'keys:rw, none');
  assert.equal(audits(harness).length, 3);
  harness.pinner.mapIds.atSource.set('flows', 0);
  assert.equal((await ask('one', 'flows')).code, 'UNAVAILABLE');
  const missing = audits(harness).at(-1)?.maps;
  const why = 'map "flows": nothing is pinned there yet';
  assert.deepEqual(missing, [{ bpfMap: 'flows', verb: 'read', reason: 'sourceMissing', why }]);
});
