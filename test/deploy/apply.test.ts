import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiServer, startApiServer } from '../apiserver/api-server.ts';
import { eventually } from '../cluster/eventually.ts';
import { applyObjects } from './apply-objects.ts';
import { EVERYTHING } from './everything.ts';
import { MANIFEST, parseManifest, render } from './helm.ts';

let api: ApiServer;
before(async () => {
  api = await startApiServer(['--allow-privileged=true']);
});
after(() => api?.stop());

test('an API server takes the rendered manifest, and takes it again', async () => {
  const args = ['apply', '--server-side', '--validate=strict', `--filename=${MANIFEST}`, '--output=name'];
  const names = (await api.kubectl(args)).split('\n');
  assert(names.includes('daemonset.apps/csi-driver-bpffs-node'));
  assert.deepEqual((await api.kubectl(args)).split('\n'), names);
});

test('and the chart with everything on', async () => {
  // There is no Prometheus operator, and this is not OpenShift.
  const objects = parseManifest(await render(EVERYTHING)).filter(
    ({ apiVersion }) => !['monitoring.coreos.com/v1', 'security.openshift.io/v1'].includes(apiVersion),
  );
  await applyObjects(api, objects, '--force-conflicts');
  const driver = JSON.parse(await api.kubectl(['get', 'csidriver', 'csi.bpffs.dev', '--output=json']));
  // An older server silently drops a field that it does not know.
  const { serviceAccountTokenInSecrets, requiresRepublish, podInfoOnMount, attachRequired } = driver.spec;
  assert.deepEqual(
    { serviceAccountTokenInSecrets, requiresRepublish, podInfoOnMount, attachRequired },
    { serviceAccountTokenInSecrets: true, requiresRepublish: true, podInfoOnMount: true, attachRequired: false },
  );
});

test('groups that may read the catalog list BpfMaps, and nothing else of the driver', async () => {
  const mayList = async (resource: string, ...as: readonly string[]) => {
    const answer = api.kubectl(['auth', 'can-i', 'list', resource, '--as=dev', ...as]);
    return (await answer.catch(({ stdout }: { stdout: string }) => stdout)) === 'yes';
  };
  const group = '--as-group=developers';
  assert.equal(await mayList('bpfmaps.bpffs.dev', group), true);
  assert.equal(await mayList('bpfmaps.bpffs.dev', '--as-group=others'), false);
  assert.equal(await mayList('bpfvolumes.bpffs.dev', group), false);
});

test('a map is granted, looked up and withdrawn as docs/grant.md says', async () => {
  const account = '--as=system:serviceaccount:prod:collector';
  const canRead = async (map: string) => {
    const answer = api.kubectl(['auth', 'can-i', 'read', `bpfmaps.bpffs.dev/${map}`, account, '--namespace=prod']);
    return (await answer.catch(({ stdout }: { stdout: string }) => stdout)) === 'yes';
  };
  await api.kubectl(['create', 'namespace', 'prod']);
  const role = ['create', 'clusterrole', 'flows-reader', '--verb=read', '--resource=bpfmaps.bpffs.dev'];
  await api.kubectl([...role, '--resource-name=flows']);
  const binding = ['rolebinding', 'flows-reader', '--namespace=prod'];
  await api.kubectl(['create', ...binding, '--clusterrole=flows-reader', '--serviceaccount=prod:collector']);
  await eventually('it may', 10, () => canRead('flows'));
  assert.equal(await canRead('limits'), false);
  await api.kubectl(['delete', ...binding]);
  await eventually('it may no more', 10, async () => !(await canRead('flows')));
});

test('who may bind roles in a namespace cannot grant maps that way', async () => {
  await api.kubectl(['create', 'role', 'granter', '--verb=create', '--resource=rolebindings', '--namespace=prod']);
  await api.kubectl(['create', 'rolebinding', 'granter', '--role=granter', '--user=someone', '--namespace=prod']);
  const attempt = ['create', 'rolebinding', 'mine', '--clusterrole=flows-reader', '--user=someone', '--namespace=prod'];
  await eventually('the role is known', 10, async () => {
    const error = await api.kubectl([...attempt, '--as=someone']).then(
      () => 'it could',
      ({ stderr }: { stderr: string }) => stderr,
    );
    return /attempting to grant RBAC permissions not currently held/.test(error) || assert.fail(error);
  });
});
