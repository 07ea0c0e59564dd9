import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { eventually } from '../cluster/eventually.ts';
import { createImage } from '../cluster/image.ts';
import { BIN } from '../cluster/node.ts';
import { NAMESPACE, render, renderTests } from './helm.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
/** Default kubelets look at running pods about every minute. */
const WITHIN_S = 120;
const DAEMONSET = 'daemonset/csi-driver-bpffs-node';
/** For test pods: `map`, which reads and writes maps, and a shell. */
const APP = 'localhost/app:1';

/** The chart in a real cluster, with the image of build-image.sh. */
let scratch: string;
let cluster: Cluster;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-install-'));
  cluster = await startCluster(join(scratch, 'cluster'));
  await cluster.importImage(join(ROOT, 'test/deploy/bin/image.tar'));
  await importProgram('registry.k8s.io/sig-storage/csi-provisioner:v6.3.0', join(BIN, 'csi-provisioner'));
  await importProgram(APP, join(ROOT, 'dist/map'), '/bin/busybox');
});
after(async () => {
  await cluster?.stop();
  await rm(scratch, { recursive: true, force: true });
});

const inNamespace = `--namespace=${NAMESPACE}`;

const image = { repository: 'localhost/csi-driver-bpffs', tag: 'test' };

async function install(values: object = {}): Promise<void> {
  const chart = await render({ image, namespace: { create: true }, controller: { replicas: 1 }, ...values });
  await cluster.apply(chart);
  await cluster.kubectl('rollout', 'status', DAEMONSET, inNamespace, '--timeout=90s');
  await cluster.kubectl('rollout', 'status', 'deployment/csi-driver-bpffs-controller', inNamespace, '--timeout=90s');
}

test('it is installed, and every process is ready', async () => {
  await install();
});

test('the admission policies pass the type checks of the cluster', async () => {
  await eventually('all are checked', 30, async () => {
    const { items } = JSON.parse(await cluster.kubectl('get', 'validatingadmissionpolicies', '--output=json'));
    assert.equal(items.length, 5);
    for (const { metadata, status } of items) {
      assert.equal(status?.observedGeneration, metadata.generation, metadata.name);
      assert.deepEqual(status.typeChecking?.expressionWarnings ?? [], [], metadata.name);
    }
    return true;
  });
});

test('what the pinner keeps of its privileges is four capabilities', async () => {
  const pid = (await cluster.run('pgrep', '-x', 'bpffs-pinner')).trim();
  const status = await cluster.run('cat', `/proc/${pid}/status`);
  // CHOWN, DAC_OVERRIDE, SYS_ADMIN, BPF.
  for (const set of ['CapBnd', 'CapPrm', 'CapEff'])
    assert.match(status, new RegExp(`^${set}:\t0000008000200003$`, 'm'));
  for (const set of ['CapInh', 'CapAmb']) assert.match(status, new RegExp(`^${set}:\t0{16}$`, 'm'));
  assert.match(status, /^NoNewPrivs:\t1$/m);
});

test('a pod without privileges reads a map, by the profile that was installed', async () => {
  for (const map of ['flows', 'limits']) await createMap(map, '42');
  await cluster.apply([...named('flows'), ...named('limits'), reader('first')]);
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/first', '--timeout=60s');
  assert.equal(await read('first'), '7=42');
});

test('an update leaves running pods their volumes, and serves new ones', async () => {
  const before = await cluster.kubectl('get', 'pods', inNamespace, '--output=name');
  await install({ logLevel: 'debug' });
  assert.notEqual(await cluster.kubectl('get', 'pods', inNamespace, '--output=name'), before);
  assert.equal(await read('first'), '7=42');
  await cluster.apply([reader('second')]);
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/second', '--timeout=60s');
  assert.equal(await read('second'), '7=42');
});

test(`what changes for a running pod is done and told within ${WITHIN_S} s`, async () => {
  const follower = pod(
    'follower',
    { csi: { driver: 'csi.bpffs.dev', volumeAttributes: { maps: 'flows, limits' } } },
    { mountPropagation: 'HostToContainer' },
  );
  await cluster.apply([follower]);
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/follower', '--timeout=60s');
  await cluster.run('rm', '/sys/fs/bpf/flows');
  await createMap('flows', '43');
  await cluster.kubectl('delete', 'rolebinding/limits-reader');
  await eventually('the pod sees it', WITHIN_S, async () => {
    const files = await cluster.kubectl('exec', 'follower', '--', '/bin/busybox', 'ls', '/maps');
    return (await read('follower')) === '7=43' && !files.includes('limits');
  });
  await eventually('events tell of it', 5, async () => {
    const description = await cluster.kubectl('describe', 'pod/follower');
    return /MapReplaced .*"flows"/.test(description) && /MapAccessRevoked .*"limits"/.test(description);
  });
});

test('a claim gets its volume', async () => {
  await cluster.apply([
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: 'counts' },
      provisioner: 'csi.bpffs.dev',
      volumeBindingMode: 'WaitForFirstConsumer',
      parameters: { type: 'shared', newMaps: '- { name: counts, type: array, valueSize: 4, maxEntries: 16 }' },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'counts', namespace: 'default' },
      spec: { storageClassName: 'counts', accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
    },
    pod('counter', { persistentVolumeClaim: { claimName: 'counts' } }),
  ]);
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/counter', '--timeout=60s');
  assert.match(await cluster.kubectl('exec', 'counter', '--', '/bin/busybox', 'ls', '/maps'), /^counts$/m);
});

test('doctor finds what it looks for where the chart has put it', async () => {
  const doctor = cluster.kubectl('exec', DAEMONSET, inNamespace, '-c', 'pinner', '--', 'csi-driver-bpffs', 'doctor');
  const found = await doctor.catch(({ stdout }: { stdout: string }) => stdout);
  assert.deepEqual(
    found.split('\n').filter((line) => /^(warn|fail) /.test(line)),
    [],
  );
  assert.match(found, /^ok .*node plugin at \/csi\/csi\.sock +answers and is ready/m);
});

test('the test of the chart succeeds', async () => {
  const objects = await renderTests({ image });
  await cluster.apply(objects);
  const succeeded = '--for=jsonpath={.status.phase}=Succeeded';
  await cluster.kubectl('wait', succeeded, 'pod/csi-driver-bpffs-test', inNamespace, '--timeout=60s');
  const log = await cluster.kubectl('logs', 'csi-driver-bpffs-test', inNamespace);
  assert.equal(log, '/maps/csi-driver-bpffs-test is a map');
  for (const { kind, metadata } of objects.toReversed())
    await cluster.kubectl('delete', `${kind}/${metadata.name}`, inNamespace);
});

test('ended pods leave nothing behind', async () => {
  await cluster.kubectl('delete', 'pod', 'first', 'second', 'follower', 'counter', '--grace-period=1');
  await cluster.kubectl('delete', 'persistentvolumeclaim', 'counts');
  await eventually('the volumes are gone', 60, async () => {
    const objects = await cluster.kubectl('get', 'bpfvolumes', '--output=name');
    return objects === '' && !(await cluster.run('findmnt', '--types=bpf', '--output=TARGET')).includes('/pods/');
  });
});

async function importProgram(name: string, ...files: readonly [string, ...string[]]): Promise<void> {
  const directory = await mkdtemp(join(scratch, 'root-'));
  await mkdir(join(directory, 'bin'));
  for (const file of files) await copyFile(file, join(directory, 'bin', file.split('/').at(-1) ?? ''));
  const file = `${directory}.tar`;
  await createImage({ name, directory, entrypoint: [`/bin/${files[0].split('/').at(-1)}`] }, file);
  await cluster.importImage(file);
}

async function createMap(name: string, value: string): Promise<void> {
  const [map, path] = [join(ROOT, 'dist/map'), `/sys/fs/bpf/${name}`];
  await cluster.run(map, 'create', path);
  await cluster.run(map, 'write', path, '7', value);
}

/** A BpfMap for a pin, and a grant to read it. */
const named = (map: string) => [
  {
    apiVersion: 'bpffs.dev/v1alpha1',
    kind: 'BpfMap',
    metadata: { name: map },
    spec: { source: { pinned: { path: `/sys/fs/bpf/${map}` } } },
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: `${map}-reader` },
    rules: [{ apiGroups: ['bpffs.dev'], resources: ['bpfmaps'], resourceNames: [map], verbs: ['read'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: `${map}-reader`, namespace: 'default' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: `${map}-reader` },
    subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'default' }],
  },
];

const reader = (name: string) => pod(name, { csi: { driver: 'csi.bpffs.dev', volumeAttributes: { maps: 'flows' } } });

function pod(name: string, volume: object, mount: object = {}) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: {
      containers: [
        {
          name: 'app',
          image: APP,
          command: ['/bin/busybox', 'sleep', 'infinity'],
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65534,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
            seccompProfile: { type: 'Localhost', localhostProfile: 'csi-driver-bpffs/bpf-consumer.json' },
          },
          volumeMounts: [{ name: 'maps', mountPath: '/maps', ...mount }],
        },
      ],
      volumes: [{ name: 'maps', ...volume }],
    },
  };
}

const read = (name: string) => cluster.kubectl('exec', name, '--', '/bin/map', 'read', '/maps/flows');
