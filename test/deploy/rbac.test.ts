import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { podTokens } from '../../src/access/pod-tokens.ts';
import { publishAccess } from '../../src/controller/access-publisher.ts';
import { startController } from '../../src/controller/controller.ts';
import { findOwner } from '../../src/controller/find-owner.ts';
import { followRbac } from '../../src/controller/followed-rbac.ts';
import { followUnusableMaps } from '../../src/controller/unusable-maps.ts';
import { keepVolumes } from '../../src/controller/volume-keeper.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { createEventRecorder } from '../../src/kubernetes/event-recorder.ts';
import { loadKubeconfig } from '../../src/kubernetes/kubeconfig.ts';
import { createLogger } from '../../src/logger.ts';
import type { BpfMap } from '../../src/maps/catalog.ts';
import { openClusterPolicy } from '../../src/node/cluster-policy.ts';
import { createDenials } from '../../src/node/denials.ts';
import { createNodeMetrics } from '../../src/node/metrics.ts';
import { publish } from '../../src/node/publish.ts';
import { createPublished } from '../../src/node/published.ts';
import type { Pinner } from '../../src/pinner/pinner.ts';
import { PublishVolumeResponse_Outcome as Outcome } from '../../src/rpc/pinner.ts';
import type { VolumeSpec } from '../../src/volumes/volume.ts';
import { createVolumeObjects, setBinding } from '../../src/volumes/volume-objects.ts';
import { type ApiServer, end, startApiServer } from '../apiserver/api-server.ts';
import { AUDIENCE, makePod, NODE, podToken } from '../apiserver/pods.ts';
import { controlledBy, workloads } from '../apiserver/workloads.ts';
import { eventually } from '../cluster/eventually.ts';
import { BIN } from '../cluster/node.ts';
import { publishRequest } from '../node-plugin/harness.ts';
import { applyObjects } from './apply-objects.ts';
import { type Manifest, NAMESPACE, parseManifest, render } from './helm.ts';

const ROOT = new URL('../../', import.meta.url).pathname;

const ACCESS_LEASE = { namespace: NAMESPACE, name: 'csi-driver-bpffs-access' };

/** The audit log shows what each part of the driver asked of the API server, and whether it was allowed. */
let scratch: string;
let api: ApiServer;
let objects: readonly Manifest[];
const closing: (() => void | Promise<void>)[] = [];

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-rbac-'));
  const policy = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'Metadata' }] };
  await writeFile(join(scratch, 'policy.json'), JSON.stringify({ ...policy, omitStages: ['RequestReceived'] }));
  const audit = [`--audit-policy-file=${scratch}/policy.json`, `--audit-log-path=${scratch}/audit.log`];
  // There is no controller manager, which would have to remove the finalizers that this plugin adds.
  api = await startApiServer([...audit, '--disable-admission-plugins=StorageObjectInUseProtection']);
  const rbacAlone = { admission: { enabled: false }, controller: { restrictVolumes: false } };
  objects = parseManifest(await render({ namespace: { create: true }, ...rbacAlone }));
  await applyObjects(
    api,
    objects.filter(({ kind }) => !/^(DaemonSet|Deployment)$/.test(kind)),
  );
  await api.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
});
after(async () => {
  for (const close of closing) await close();
  await api?.stop();
  await rm(scratch, { recursive: true, force: true });
});

test('the node plugin may do what it does, and nothing else', async () => {
  const account = 'csi-driver-bpffs-node';
  const pod = await makePod(api, 'prod', 'collector', 'collector');
  const config = { kind: 'cluster' as const, kubeconfig: await kubeconfigOf(account) };
  const names = { driverName: AUDIENCE, nodeId: NODE, kept: async () => [], accessLease: ACCESS_LEASE };
  const opened = openClusterPolicy(config, names, createLogger('error'), createNodeMetrics());
  closing.push(() => opened.close());
  await opened.synced;
  opened.requireReady();
  const { policy, events } = opened;
  const { volumes } = policy;
  assert.equal(await volumes?.get('absent-00000000'), undefined);

  const signal = AbortSignal.timeout(10_000);
  const tokens = JSON.stringify({ [AUDIENCE]: { token: await podToken(api, pod) } });
  const secrets = { 'csi.storage.k8s.io/serviceAccount.tokens': tokens };
  const identity = await policy.identify(pod, podTokens({ secrets, volumeContext: {} }), signal);
  assert.equal((await policy.access.check(identity, 'flows', 'read', signal)).allowed, false);
  await assert.rejects(policy.findDelegation('xdp', signal), { message: 'there is no BpfDelegation "xdp"' });
  const listEvents = () => api.kubectl(['get', 'events', '--namespace=prod', '--output=name']);
  events.record(pod, 'MapReplaced', 'once');
  await eventually('it is told', 5, async () => (await listEvents()) !== '');
  events.record(pod, 'MapReplaced', 'once');
  opened.nodeEvents.record('BpfPinnerDown', 'once');
  await eventually('it is told', 5, async () => /BpfPinnerDown/.test(await api.kubectl(['get', 'events'])));

  // Even for resources that do not exist, like bpfman's here, an account without the right gets "forbidden".
  for (const [namespace, name] of [
    [undefined, 'cluster'],
    ['prod', 'namespaced'],
  ]) {
    const named = { namespace, application: `${name}`, program: 'p', programTag: undefined, map: 'm' };
    const source = { kind: 'bpfman' as const, ...named };
    const map: BpfMap = { name: 'm', fileName: 'm', maxAccess: 'ReadOnly', source };
    await assert.rejects(async () => policy.resolveSource(map), /is its CustomResourceDefinition installed/);
  }
  assert.deepEqual(await refused(account), []);
  const unseen = ['watch bpfman.io/bpfapplicationstates', 'watch bpfman.io/clusterbpfapplicationstates'];
  await eventually('all is asked for', 10, async () => {
    assert.deepEqual([...(await asked(account)), ...unseen].sort(), allowed(account));
    return true;
  });
});

test('a volume that is published again asks the API server for nothing that is cached', async () => {
  const pod = await makePod(api, 'prod', 'reader', 'reader');
  await api.apply(
    {
      apiVersion: 'bpffs.dev/v1alpha1',
      kind: 'BpfMap',
      metadata: { name: 'flows' },
      spec: { source: { pinned: { path: '/sys/fs/bpf/flows' } } },
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'flows-reader' },
      rules: [{ apiGroups: ['bpffs.dev'], resources: ['bpfmaps'], verbs: ['read'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'flows-reader' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'flows-reader' },
      subjects: [{ kind: 'ServiceAccount', namespace: 'prod', name: 'reader' }],
    },
  );
  const account = 'csi-driver-bpffs-node';
  const config = { kind: 'cluster' as const, kubeconfig: await kubeconfigOf(account) };
  const metrics = createNodeMetrics();
  const names = { driverName: AUDIENCE, nodeId: NODE, kept: async () => [] };
  const opened = openClusterPolicy(config, names, createLogger('error'), metrics);
  closing.push(() => opened.close());
  await opened.synced;
  const pinner = { publishVolume: async () => ({ outcome: Outcome.UNCHANGED, changes: [], refusals: [], maps: [] }) };
  const parts = {
    nodeId: NODE,
    ...opened,
    published: createPublished(),
    denials: createDenials(),
    audit: { published() {}, refused() {}, refusedDelegation() {} },
    pinner: pinner as unknown as Pinner,
    metrics,
  };
  const request = publishRequest((r) => {
    r.volumeContext = {
      maps: 'flows',
      'csi.storage.k8s.io/pod.namespace': pod.namespace,
      'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
      'csi.storage.k8s.io/pod.name': pod.podName,
      'csi.storage.k8s.io/pod.uid': pod.podUid,
    };
  });
  const tokens = JSON.stringify({ [AUDIENCE]: { token: await podToken(api, pod) } });
  request.secrets = { 'csi.storage.k8s.io/serviceAccount.tokens': tokens };
  const call = () => ({
    signal: AbortSignal.timeout(10_000),
    deadline: Number.POSITIVE_INFINITY,
    note() {},
    quiet() {},
  });
  const reviews = async () => {
    const counts = new Map<string, number>();
    for (const { request } of await audited(account)) {
      if (request.endsWith('reviews')) counts.set(request, (counts.get(request) ?? 0) + 1);
    }
    return counts;
  };
  // A new grant may take a moment.
  await eventually('it is published', 20, () => publish(request, request, parts, call()).then(() => true));
  const before = await reviews();
  assert((before.get('create authorization.k8s.io/subjectaccessreviews') ?? 0) > 0);
  for (let again = 0; again < 10; again++) await publish(request, request, parts, call());
  assert.deepEqual(await reviews(), before);
  opened.updateMetrics();
  const measured = await metrics.render();
  for (const review of ['token', 'access']) {
    assert.match(measured, new RegExp(`bpffs_review_lookups_total\\{review="${review}",result="hit"\\} \\d\\d`));
    assert.match(measured, new RegExp(`bpffs_review_age_seconds_count\\{review="${review}"\\} \\d\\d`));
  }
  for (const kind of ['tokenreviews.authentication.k8s.io', 'subjectaccessreviews.authorization.k8s.io'])
    assert.match(measured, new RegExp(`bpffs_api_requests_total\\{verb="create",resource="${kind}"\\} [1-9]`));
  assert.match(measured, /bpffs_api_requests_total\{verb="watch",resource="bpfmaps\.bpffs\.dev"\} [1-9]/);
  for (const resource of ['bpfmaps', 'bpfvolumes', 'csidrivers']) {
    assert.match(measured, new RegExp(`bpffs_watch_staleness_seconds\\{resource="${resource}"\\} \\d`));
  }
});

test('the controller may do with its volumes what it does, and nothing else', async () => {
  const account = 'csi-driver-bpffs-controller';
  const client = createKubernetesClient(loadKubeconfig(await kubeconfigOf(account)));
  closing.push(client.close);
  const store = createVolumeObjects(client);
  const log = createLogger('error');
  const keeper = keepVolumes({ client, driverName: AUDIENCE, store, log, graceMs: 0, intervalMs: 100 });
  closing.push(keeper.close);
  const maps = followUnusableMaps({ client, log, changed() {} });
  closing.push(maps.close);
  const rbac = followRbac({ client, log, changed() {} });
  closing.push(rbac.close);
  const publisher = publishAccess({ client, lease: ACCESS_LEASE, rbac, log, timing: { beatMs: 100, pauseMs: 100 } });
  closing.push(publisher.close);
  const recorder = createEventRecorder({ client, driverName: AUDIENCE, instance: 'controller-1' });
  for (const namespace of [undefined, 'prod']) {
    const regarding = { apiVersion: 'v1', kind: 'Any', ...(namespace && { namespace }), name: 'any', uid: 'any' };
    const event = { type: 'Warning', reason: 'Any', action: 'Any', note: `in ${namespace}`, isState: true } as const;
    recorder.record({ ...event, regarding });
  }
  await recorder.close(5000);
  const spec: VolumeSpec = {
    volumeName: 'pvc-1',
    content: { type: 'workspace' },
    userNamespace: false,
    accessModes: ['SINGLE_NODE_WRITER'],
    capacityBytes: 0,
    nodeName: NODE,
    claim: { namespace: 'default', name: 'none' },
  };
  const made = await store.create(spec);
  assert.equal((await store.create(spec)).id, made.id);
  assert.equal((await store.list()).volumes.length, 1);
  await eventually('nobody’s, it is gone', 10, async () => (await store.get(made.id)) === undefined);
  const { id } = await store.create({ ...spec, claim: undefined });
  await setBinding(client, id, { phase: 'Released' });
  await store.delete(id);
  assert.equal(await store.get(id), undefined);
  // Of each kind of workload that a pod may name as its owner, whether it exists or not.
  const net = workloads(api, 'prod');
  const { metadata } = await net.claim('none');
  const owners = [
    controlledBy('DaemonSet', { metadata }),
    controlledBy('StatefulSet', { metadata }),
    controlledBy('ReplicaSet', await net.replicaSet('none', controlledBy('Deployment', { metadata }))),
  ];
  for (const [n, of] of owners.entries()) {
    const claim = await net.claim(`loader-${n}-pins`, controlledBy('Pod', await net.pod(`loader-${n}`, { of }), 'v1'));
    const { namespace = '', name, uid } = claim.metadata;
    assert.equal((await findOwner(client, { namespace, name }, `pvc-${uid}`)).owner?.pod, `loader-${n}`);
  }
  assert.deepEqual(await refused(account), []);
  const ours = allowed(account).filter((right) =>
    / (bpffs\.dev|events\.k8s\.io|apps|rbac\.authorization\.k8s\.io)\//.test(right),
  );
  const others = [
    'create coordination.k8s.io/leases',
    'get coordination.k8s.io/leases',
    'patch coordination.k8s.io/leases',
    'get /persistentvolumeclaims',
    'get /persistentvolumes',
    'get /pods',
    'list /persistentvolumes',
    'watch /persistentvolumes',
  ];
  await eventually('all is asked for', 10, async () => {
    assert.deepEqual([...(await asked(account))].sort(), [...others, ...ours].sort());
    return true;
  });
  await publisher.close();
});

test('probes and scrapes of the controller ask the API server for nothing', async () => {
  const account = 'csi-driver-bpffs-controller';
  const config = (kubeconfig: string) => ({
    driverName: AUDIENCE,
    endpoint: join(scratch, 'asked.sock'),
    store: { kind: 'cluster' as const, kubeconfig },
    defaultNode: undefined,
    http: { host: '127.0.0.1', port: 0 },
    logLevel: 'error' as const,
    drainTimeoutMs: 0,
  });
  const log = createLogger('error');
  const watches = async () => (await audited(account)).filter(({ request }) => request.startsWith('watch ')).length;
  const watchesBefore = await watches();
  const controller = await startController(config(await kubeconfigOf(account)), log);
  closing.push(() => controller.stop());
  const get = async (path: string, { httpAddress } = controller) => {
    const response = await fetch(`http://${httpAddress}${path}`);
    return [response.status, await response.text()] as const;
  };
  await eventually('it is ready', 10, async () => (await get('/readyz'))[0] === 200);
  await eventually('its three watches have begun', 10, async () => (await watches()) === watchesBefore + 3);
  const before = (await audited(account)).length;
  for (let again = 0; again < 50; again++) {
    assert.deepEqual(await get('/readyz'), [200, 'ok\n']);
    const [, metrics] = await get('/metrics');
    for (const line of [/^bpffs_volume_store_up 1$/m, /^bpffs_persistent_volumes_released 0$/m])
      assert.match(metrics, line);
    for (const resource of ['bpfvolumes', 'persistentvolumes', 'bpfmaps'])
      assert.match(metrics, new RegExp(`^bpffs_watch_staleness_seconds\\{resource="${resource}"\\} \\d`, 'm'));
  }
  assert.equal((await audited(account)).length, before);
  await controller.stop();

  const nowhere = join(scratch, 'nowhere.kubeconfig');
  await writeFile(nowhere, (await readFile(await kubeconfigOf(account), 'utf8')).replace(/:\d+"/, ':1"'));
  const lost = await startController(config(nowhere), log);
  closing.push(() => lost.stop());
  const [status, text] = await get('/readyz', lost);
  assert.equal(status, 503);
  assert.match(text, /^nothing is known of bpfvolumes\.bpffs\.dev yet: the API server at .*:1 does not answer/);
  assert.match((await get('/metrics', lost))[1], /^bpffs_volume_store_up 0$/m);
  assert.equal((await get('/healthz', lost))[0], 200);
});

test('external-provisioner, told what the chart tells it, makes a volume and deletes it, and is refused nothing', async () => {
  const account = 'csi-driver-bpffs-controller';
  const socket = join(scratch, 'csi.sock');
  await using processes = new AsyncDisposableStack();
  const start = (command: string, args: readonly string[]) => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], {
      stdio: 'ignore',
      env: { ...process.env, POD_NAMESPACE: NAMESPACE },
    });
    processes.defer(() => end(child));
  };
  const local = ['--http-address=off', '--log-level=error'];
  start(join(ROOT, 'bin/csi-driver-bpffs'), ['controller', `--volumes=${scratch}`, `--endpoint=${socket}`, ...local]);

  await applyObjects(api, [
    { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE, labels: { 'topology.csi.bpffs.dev/node': NODE } } },
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSINode',
      metadata: { name: NODE },
      spec: { drivers: [{ name: AUDIENCE, nodeID: NODE, topologyKeys: ['topology.csi.bpffs.dev/node'] }] },
    },
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: 'workspace' },
      provisioner: AUDIENCE,
      volumeBindingMode: 'WaitForFirstConsumer',
      parameters: { type: 'workspace' },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      // As the scheduler and the controller manager would set it.
      metadata: {
        name: 'loader',
        namespace: 'default',
        annotations: {
          'volume.kubernetes.io/selected-node': NODE,
          'volume.kubernetes.io/storage-provisioner': AUDIENCE,
        },
      },
      spec: {
        storageClassName: 'workspace',
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '1Mi' } },
      },
    },
  ]);
  start(join(BIN, 'csi-provisioner'), [
    ...provisionerArgs().filter((arg) => !/^--(csi-address|http-endpoint)=/.test(arg)),
    ...[`--csi-address=${socket}`, `--kubeconfig=${await kubeconfigOf(account)}`],
  ]);

  const get = async (...args: string[]) => JSON.parse(await api.kubectl(['get', '--output=json', ...args]));
  const volume = await eventually('there is a volume', 60, async () => (await get('persistentvolumes')).items[0]);
  const [term] = volume.spec.nodeAffinity.required.nodeSelectorTerms;
  assert.deepEqual(term.matchExpressions, [{ key: 'topology.csi.bpffs.dev/node', operator: 'In', values: [NODE] }]);
  // As the controller manager would, once the claim is gone.
  await api.kubectl(['delete', 'persistentvolumeclaim', 'loader', '--wait=false']);
  const released = ['--subresource=status', '--patch={"status":{"phase":"Released"}}'];
  await api.kubectl(['patch', 'persistentvolume', volume.metadata.name, '--type=merge', ...released]);
  await eventually('the volume is gone', 60, async () => (await get('persistentvolumes')).items.length === 0);
  assert.deepEqual(await refused(account), []);
});

/** The arguments of the chart's container. */
function provisionerArgs(): readonly string[] {
  const deployment = objects.find(({ kind }) => kind === 'Deployment');
  assert(deployment);
  const { template } = deployment.spec as { template: { spec: { containers: { name: string; args: string[] }[] } } };
  return template.spec.containers.find(({ name }) => name === 'provisioner')?.args ?? assert.fail();
}

const userOf = (account: string) => `system:serviceaccount:${NAMESPACE}:${account}`;

/** Returns a file. */
async function kubeconfigOf(account: string): Promise<string> {
  const config = JSON.parse(await readFile(api.kubeconfig, 'utf8'));
  config.users[0].user = { token: await api.kubectl(['create', 'token', account, `--namespace=${NAMESPACE}`]) };
  const file = join(scratch, `${account}.kubeconfig`);
  await writeFile(file, JSON.stringify(config));
  return file;
}

/** What the account's roles allow, as "verb group/resource". */
function allowed(account: string): readonly string[] {
  const rules = objects.flatMap(({ kind, metadata, rules }) =>
    kind.endsWith('Role') && metadata.name === account ? (rules as readonly Rule[]) : [],
  );
  return rules
    .flatMap(({ apiGroups: [group], resources, verbs }) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
    )
    .sort();
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** What the account has requested, in the same words. */
async function asked(account: string): Promise<ReadonlySet<string>> {
  return new Set((await audited(account)).map(({ request }) => request));
}

async function refused(account: string): Promise<readonly string[]> {
  return (await audited(account)).filter(({ code }) => code === 403).map(({ request }) => request);
}

async function audited(account: string): Promise<readonly { readonly request: string; readonly code: number }[]> {
  const lines = (await readFile(join(scratch, 'audit.log'), 'utf8')).split('\n').filter(Boolean);
  return lines.flatMap((line) => {
    const { user, verb, objectRef, responseStatus } = JSON.parse(line);
    if (user.username !== userOf(account) || objectRef === undefined) return [];
    const { apiGroup = '', resource, subresource } = objectRef;
    const kind = subresource === undefined ? resource : `${resource}/${subresource}`;
    return [{ request: `${verb} ${apiGroup}/${kind}`, code: responseStatus?.code ?? 0 }];
  });
}
