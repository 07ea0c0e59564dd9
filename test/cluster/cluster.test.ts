import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { type Cluster, openCluster, startCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { openNode, startNode } from './node.ts';
import { isRunning } from './process.ts';
import { BUSYBOX } from './stock-images.ts';

const SYSCTLS = ['vm/overcommit_memory', 'kernel/panic', 'kernel/panic_on_oops', 'kernel/keys/root_maxkeys'];

const sysctls = () => Promise.all(SYSCTLS.map((name) => readFile(join('/proc/sys', name), 'utf8')));

/** A pod that sleeps. `container` adds to its container. */
function pod(name: string, spec: object = {}, container: object = {}): object {
  const containers = [{ name: 'main', image: BUSYBOX, command: ['sleep', 'infinity'], ...container }];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { terminationGracePeriodSeconds: 0, containers, ...spec },
  };
}

/** Processes in one of these namespaces, named as in /proc: `net:[4026532204]`. */
async function processesIn(namespaces: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const own: readonly string[] = await namespacesOf(pid).catch(() => []);
    if (own.some((namespace) => namespaces.includes(namespace))) found.push(pid);
  }
  return found;
}

const namespacesOf = (pid: string) =>
  Promise.all(['mnt', 'net', 'pid'].map((kind) => readlink(`/proc/${pid}/ns/${kind}`)));

/** What is left of a cluster on this machine. */
async function leftovers(directory: string, cgroup: string, namespaces: readonly string[]): Promise<readonly string[]> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(directory));
  const cgroups: string[] = [];
  for (const hierarchy of await readdir('/sys/fs/cgroup')) {
    const names = await readdir(join('/sys/fs/cgroup', hierarchy)).catch((): string[] => []);
    if (names.includes(cgroup)) cgroups.push(`${hierarchy}/${cgroup}`);
  }
  return [...(await processesIn(namespaces)), ...mounts, ...cgroups];
}

suite('a cluster', () => {
  let directory: string;
  let cluster: Cluster;
  let sysctlsBefore: readonly string[];

  before(async () => {
    sysctlsBefore = await sysctls();
    directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-cluster-'));
    cluster = await startCluster(directory);
  });

  after(async () => {
    await openCluster(directory).then(
      (left) => left.stop(),
      () => {},
    );
    await rm(directory, { recursive: true, force: true });
  });

  const ready = (...names: string[]) =>
    cluster.kubectl('wait', '--for=condition=Ready', '--timeout=60s', ...names.map((name) => `pod/${name}`));
  const exec = (name: string, ...command: string[]) => cluster.kubectl('exec', name, '--', ...command);
  const container = (name: string) =>
    cluster.kubectl('get', 'pod', name, '--output=jsonpath={.status.containerStatuses[0].containerID}');

  test('runs a pod, which reaches the API server', async () => {
    await cluster.apply([pod('plain')]);
    await ready('plain');
    await exec('plain', 'sh', '-c', 'nc -w 5 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" </dev/null');
  });

  test('runs a pod in a user namespace, with a volume', async () => {
    const volume = { volumes: [{ name: 'scratch', emptyDir: {} }] };
    await cluster.apply([
      pod('user', { hostUsers: false, ...volume }, { volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }] }),
    ]);
    await ready('user');
    const [inside, outside] = (await exec('user', 'cat', '/proc/self/uid_map')).trim().split(/\s+/);
    assert.equal(inside, '0');
    assert.notEqual(outside, '0');
    assert.equal(await exec('user', 'sh', '-c', 'touch /scratch/file && stat -c %u /scratch/file'), '0');
  });

  test('runs a pod under a seccomp profile of this node', async () => {
    await cluster.addSeccompProfile('no-mkdir.json', {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 95 }],
    });
    const seccompProfile = { type: 'Localhost', localhostProfile: 'no-mkdir.json' };
    await cluster.apply([pod('profiled', { securityContext: { seccompProfile } })]);
    await ready('profiled');
    await assert.rejects(exec('profiled', 'mkdir', '/tmp/new'), /not supported/);
    await exec('profiled', 'touch', '/tmp/new');
  });

  test('shows a privileged pod the mounts of the node, and the node the mounts of the pod', async () => {
    const volume = { volumes: [{ name: 'kubelet', hostPath: { path: cluster.kubeletDirectory } }] };
    const mount = { name: 'kubelet', mountPath: cluster.kubeletDirectory, mountPropagation: 'Bidirectional' };
    await cluster.apply([pod('privileged', volume, { securityContext: { privileged: true }, volumeMounts: [mount] })]);
    await ready('privileged');
    const target = join(cluster.kubeletDirectory, 'shown');
    await exec('privileged', 'sh', '-c', `mkdir ${target} && mount -t tmpfs shown ${target} && touch ${target}/file`);
    assert.deepEqual(await readdir(cluster.node.path(target)), ['file']);
    await cluster.run('umount', target);
    assert.equal(await exec('privileged', 'ls', target), '');
  });

  test('holds namespaces to Pod Security, nodes to NodeRestriction and objects to policies', async () => {
    await cluster.kubectl('create', 'namespace', 'restricted');
    await cluster.kubectl('label', 'namespace', 'restricted', 'pod-security.kubernetes.io/enforce=restricted');
    const forbidden = { ...pod('forbidden'), metadata: { name: 'forbidden', namespace: 'restricted' } };
    await assert.rejects(cluster.apply([forbidden]), /violates PodSecurity "restricted/);

    const asKubelet = `--kubeconfig=${join(directory, 'cluster/pki/kubelet.kubeconfig')}`;
    const label = 'node-restriction.kubernetes.io/some=thing';
    await assert.rejects(cluster.kubectl(asKubelet, 'label', 'node', 'node-1', label), /is not allowed to modify/);

    await cluster.apply(POLICY);
    await eventually('a policy is in force', 30, async () => {
      const create = cluster.kubectl('create', 'configmap', 'bad', '--dry-run=server');
      await assert.rejects(create, /names are good here/);
      return true;
    });
  });

  test('issues tokens for an audience', async () => {
    const token = await cluster.kubectl('create', 'token', 'default', '--audience=csi.bpffs.dev');
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    assert.deepEqual(claims.aud, ['csi.bpffs.dev']);
  });

  for (const name of ['kubelet', 'containerd', 'kube-apiserver'] as const) {
    test(`keeps a pod running while ${name} is away`, async () => {
      const before = await container('plain');
      const component = cluster.components[name];
      await component.restart();
      await component.kill();
      assert.equal(await component.isRunning(), false);
      await component.start();
      await eventually('pods can be used again', 30, async () => (await exec('plain', 'echo', 'here')) === 'here');
      assert.equal(await container('plain'), before);
    });
  }

  test('goes on with its pods after all of it was stopped', async () => {
    const before = await container('plain');
    await cluster.stop();
    assert.deepEqual(await leftovers(directory, cluster.node.cgroup, []), []);
    cluster = await startCluster(directory);
    await eventually('the pod runs anew', 60, async () => (await container('plain')) !== before);
    await ready('plain');
  });

  test('leaves nothing behind', async () => {
    await cluster.kubectl('delete', 'pod', '--all', '--timeout=60s');
    const namespaces = await namespacesOf(`${cluster.node.init.pid}`);
    assert.notEqual((await processesIn(namespaces)).length, 0);
    await cluster.stop();
    await cluster.stop();
    assert.deepEqual(await leftovers(directory, cluster.node.cgroup, namespaces), []);
    assert.deepEqual(await sysctls(), sysctlsBefore);
    await assert.rejects(openCluster(directory), /no cluster is running/);
  });
});

test('a node ends with the process that started it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-cluster-'));
  try {
    const script = `const { startNode } = await import(${JSON.stringify(join(import.meta.dirname, 'node.ts'))});
      await startNode(${JSON.stringify(directory)}, false); setInterval(() => {}, 1000);`;
    const caller = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'inherit' });
    const node = await eventually('the node is there', 20, () => openNode(directory));
    const namespaces = await namespacesOf(`${node.init.pid}`);
    caller.kill('SIGKILL');
    await once(caller, 'exit');
    // A process that is about to end has no namespaces any more, and still runs.
    const isOver = async () => (await processesIn(namespaces)).length === 0 && !(await isRunning(node.init));
    await eventually('its processes have ended', 10, isOver);
    // Only the cgroup is left, for the next start to remove.
    await (await startNode(directory, false)).stop();
    assert.deepEqual(await leftovers(directory, node.cgroup, namespaces), []);
  } finally {
    await rm(directory, { recursive: true });
  }
});

const POLICY = `\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: names }
spec:
  matchConstraints:
    resourceRules:
    - { apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps] }
  validations:
  - { expression: "object.metadata.name != 'bad'", message: names are good here }
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: names }
spec: { policyName: names, validationActions: [Deny] }
`;
