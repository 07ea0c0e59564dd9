import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../cluster/eventually.ts';
import { useNoAdmission } from './admission.ts';
import { runAsReader } from './documented.ts';
import { killDriver, rollDriver } from './driver-faults.ts';
import { DELEGATION, GRANT, LIBRARIES, loader, PINS, WITHDRAW } from './loaders.ts';
import { nodeMaps } from './node-maps.ts';
import { mountsOf, type NodeState, nodeState, nothingMore } from './node-state.ts';
import { account, bpfMap, delegationRole, mapRole, pinnedMap, roleBinding, serviceAccount } from './objects.ts';
import { inline, pod } from './pods.ts';
import { cluster, WITHIN_S } from './running.ts';
import { useSpace } from './space.ts';

// A pod without a grant, or with what the driver refuses, would not be created.
useNoAdmission();
const maps = nodeMaps(cluster);
const space = useSpace();
const { start, stop, exec, kubectl } = space;

const BURST = 6;
const KILLS = 8;

/** Runs commands of the document in the namespace of this test. */
async function asDocumented({ command }: { readonly command: string }): Promise<void> {
  const { all, failed } = await runAsReader(cluster, command.replaceAll('prod', space.name));
  assert.ok(!failed, all);
}

const attached = (name: string, seconds = 60) =>
  eventually(`${name} is attached`, seconds, async () => {
    const log = await kubectl('logs', name, '--container=main');
    return log.split('\n').includes('attached') || assert.fail(log);
  });

const counted = async (name: string) => Number(/^0=(\d+)$/.exec(await space.read(name, `${PINS}/packets`))?.[1]);

const MOUNTED = { delegation: 1, 'delegation/bpf': 1, 'delegation/socket': 1 };

/** Checks that a loader's program counts the frames that come, and that of its volume this is mounted on the node. */
async function counts(name: string, mounts: Readonly<Record<string, number>> = MOUNTED): Promise<void> {
  await attached(name);
  const before = await counted(name);
  const address = await kubectl('get', 'pod', name, '--output=jsonpath={.status.podIP}');
  await cluster.run('busybox', 'ping', '-c', '3', '-i', '0.1', address);
  await eventually('the frames are counted', 10, async () => (await counted(name)) >= before + 3);
  assert.deepEqual(await mountsOf(cluster, space.name, name), mounts);
}

/** Starts a pod that ends, and returns what it has said. */
async function refused(pod: ReturnType<typeof loader>): Promise<string> {
  const { name } = pod.metadata;
  await space.apply({ ...pod, spec: { ...pod.spec, restartPolicy: 'Never' } });
  await kubectl('wait', '--for=jsonpath={.status.phase}=Failed', '--timeout=60s', `pod/${name}`);
  return kubectl('logs', name, '--container=main');
}

/** Kills the sandbox of a pod; the kubelet makes another. */
async function killSandbox(name: string): Promise<void> {
  const uid = await kubectl('get', 'pod', name, '--output=jsonpath={.metadata.uid}');
  const filter = `labels."io.kubernetes.pod.uid"==${uid},labels."io.cri-containerd.kind"==sandbox`;
  // Earlier sandboxes of the pod may still be listed; only one has a process.
  const sandboxes = (await cluster.run('ctr', 'containers', 'list', '--quiet', filter)).split('\n');
  const running = (await cluster.run('ctr', 'tasks', 'list', '--quiet')).split('\n');
  const [sandbox] = sandboxes.filter((id) => running.includes(id));
  assert.ok(sandbox, `${name} has no sandbox`);
  await cluster.run('ctr', 'tasks', 'kill', '--signal', 'SIGKILL', sandbox);
}

/** The user namespace of a pod: that of its sandbox. */
const users = (name: string) => exec(name, 'readlink', '/proc/self/ns/user');

let initial: NodeState;
before(async () => {
  initial = await nodeState(cluster);
  await space.apply(DELEGATION, serviceAccount('loader'));
});
after(() => cluster.kubectl('delete', 'clusterrole/xdp-loader', '--ignore-not-found'));

suite('a loader with a delegation', () => {
  test('waits for a grant, with an event that has the commands that give it', async () => {
    await space.apply(loader('waiting'));
    const event = await space.described('pod/waiting', /FailedMount.*loader may not use delegation "xdp"/);
    const [, commands = ''] = /\(no grant: (.*loader)\)/.exec(event) ?? [];
    await cluster.run('bash', '-euc', commands);
    await space.ready('waiting');
    await counts('waiting');
    await stop('waiting');
    await kubectl('delete', 'rolebinding/use-xdp-loader');
    await asDocumented(GRANT);
  });

  for (const library of LIBRARIES) {
    test(`loads, attaches and counts with ${library}, without a privilege on the node`, async (context) => {
      await start(loader(library, { library }));
      await counts(library);
      const status = await exec(library, 'cat', '/proc/1/status');
      const shown = status.split('\n').filter((line) => /^(Cap|NoNewPrivs|Seccomp:)/.test(line));
      const users = await exec(library, 'cat', '/proc/1/uid_map');
      for (const line of [...shown, `uid_map: ${users}`]) context.diagnostic(line);
      // CAP_NET_ADMIN and CAP_BPF.
      assert.match(status, /^CapEff:\t0000008000001000$/m);
      assert.match(status, /^CapBnd:\t0000008000001000$/m);
      assert.match(status, /^NoNewPrivs:\t1$/m);
      assert.match(status, /^Seccomp:\t2$/m);
      assert.doesNotMatch(users, /^\s*0\s+0\s/);
    });
  }

  test('gives its map to a pod without a privilege, and the next one when it comes back', async (context) => {
    const name = `${space.name}-packets`;
    const delegation = { namespace: space.name, serviceAccount: 'giver', volume: 'delegation', path: 'packets' };
    await space.apply(
      ...[bpfMap(name, { source: { delegation }, fileName: 'packets' }), mapRole(name, { read: [name] })],
      ...[serviceAccount('reader'), roleBinding('reader', name, account(space.name, 'reader'))],
      ...[serviceAccount('giver'), roleBinding('giver', 'xdp-loader', account(space.name, 'giver'))],
    );
    const mount = { mountPropagation: 'HostToContainer' };
    await space.apply(pod('reader', { serviceAccount: 'reader', volume: inline({ maps: name }), mount }));
    await space.described('pod/reader', /there is no delegation "delegation" of service account .*giver on this node/);
    const giver = loader('giver', { spec: { serviceAccountName: 'giver' } });
    await start(giver);
    await counts('giver');
    await space.ready('reader');
    const status = await exec('reader', 'grep', 'Cap', '/proc/1/status');
    context.diagnostic(status);
    assert.match(status, /^CapEff:\t0{16}$/m);
    const read = async () => Number((await space.read('reader', '/maps/packets')).replace('0=', ''));
    assert((await read()) >= 3);

    await stop('giver');
    await start(giver);
    await attached('giver');
    await exec('giver', 'map', 'write', `${PINS}/packets`, '0', '1000000');
    await eventually('the reader has the new map', WITHIN_S, async () => (await read()) >= 1_000_000);
    await stop('giver', 'reader');
  });

  test('needs no environment where the volume is mounted on /sys/fs', async () => {
    const volumeMounts = [{ name: 'delegation', mountPath: '/sys/fs' }];
    const command = ['counter-libbpf', '/bin/counter.bpf.o', 'eth0', '/sys/fs/bpf'];
    await start(loader('default', { container: { env: [], volumeMounts, command } }));
    await attached('default');
    assert.match(await space.read('default', '/sys/fs/bpf/packets'), /^0=\d+$/);
    await stop('default');
  });

  test('may load nothing without its token, nor what is not delegated', async () => {
    const env = [{ name: 'LIBBPF_BPF_TOKEN_PATH', value: '' }];
    assert.match(await refused(loader('tokenless', { container: { env } })), /load: Operation not permitted/);
    const name = `${space.name}-hashes`;
    await space.apply({ ...DELEGATION, metadata: { name }, spec: { ...DELEGATION.spec, mapTypes: ['hash'] } });
    await space.apply(delegationRole(name, [name]), roleBinding(name, name, account(space.name, 'loader')));
    const said = await refused(loader('other', { delegation: name }));
    assert.match(said, /map 'packets': failed to create: Operation not permitted/);
    await stop('tokenless', 'other');
  });
});

suite('a delegation beside a map to read', () => {
  const FLOWS = `${space.name}-flows`;
  const both = (name: string) =>
    loader(name, {
      spec: { serviceAccountName: name },
      volumes: [{ name: 'maps', ...inline({ maps: FLOWS, hostUsers: 'false' }) }],
    });
  const binding = (name: string, role: string) => roleBinding(`${name}-${role}`, role, account(space.name, name));
  const role = `${DELEGATION.metadata.name}-loader`;
  before(() =>
    space.apply(
      ...[pinnedMap(FLOWS, 'delegation/flows', { fileName: 'flows' }), mapRole(FLOWS, { read: [FLOWS] })],
      ...[serviceAccount('map-second'), serviceAccount('delegation-second')],
      ...[binding('map-second', role), binding('map-second', FLOWS), binding('delegation-second', FLOWS)],
    ),
  );
  after(() => maps.remove('delegation'));

  test('is refused the map, when that comes second', async () => {
    await space.apply(both('map-second'));
    await space.described('pod/map-second', /FailedMount.*nothing is pinned at .*flows/);
    await maps.create('delegation/flows');
    await space.described(
      'pod/map-second',
      /FailedMount.*this pod has the delegation "csi-\w+" .*:rw \(now read-only: e2e-\w+-flows\)/,
      60,
    );
    await stop('map-second');
  });

  test('is refused the delegation, when that comes second', async () => {
    await space.apply(both('delegation-second'));
    await space.described('pod/delegation-second', /FailedMount.*may not use delegation/);
    await space.apply(binding('delegation-second', role));
    await space.described('pod/delegation-second', /FailedMount.*read-only map "flows".*delegation.*:rw/, 60);
    await stop('delegation-second');
  });
});

suite('a loader with a delegation goes on', () => {
  before(() => start(loader('steady')));

  test('when its container ends, which finds its pin again', async () => {
    await counts('steady');
    const before = await counted('steady');
    await exec('steady', 'kill', '1');
    await eventually('it is restarted', 60, async () => {
      const restarts = '--output=jsonpath={.status.containerStatuses[0].restartCount}';
      return (await kubectl('get', 'pod', 'steady', restarts)) === '1';
    });
    await counts('steady');
    assert.ok((await counted('steady')) >= before + 3);
  });

  test('when its sandbox is killed, which gives it another user namespace', async () => {
    const before = await users('steady');
    await killSandbox('steady');
    await eventually('it has a new sandbox', 120, async () => (await users('steady')) !== before);
    await counts('steady');
  });

  test('when the pinner or the node plugin is killed, and when they are rolled', async () => {
    const there = (await counted('steady')) + 1;
    await killDriver(cluster, 'pinner');
    await counts('steady');
    await killDriver(cluster, 'plugin');
    await (await rollDriver(cluster))();
    await counts('steady');
    assert.ok((await counted('steady')) > there);
    await start(loader('after-the-roll'));
    await counts('after-the-roll');
  });

  test('when the kubelet and containerd are restarted', async () => {
    for (const component of ['kubelet', 'containerd'] as const) await cluster.components[component].restart();
    await counts('steady');
    await start(loader('after-the-restart'));
    await counts('after-the-restart');
    await stop('after-the-restart', 'after-the-roll');
  });

  test(`when the pinner is killed ${KILLS} times while ${BURST} others start and end`, async (context) => {
    const names = Array.from({ length: BURST }, (_, index) => `burst-${index}`);
    const before = await nodeState(cluster);
    const applied = space.apply(...names.map((name) => loader(name)));
    for (let kill = 0; kill < KILLS; kill++) {
      const pause = Math.floor(Math.random() * 1500);
      await sleep(pause);
      await killDriver(cluster, 'pinner');
      context.diagnostic(`killed after ${pause} ms`);
    }
    await applied;
    for (const name of names) await attached(name, 240);
    for (const name of names) await counts(name);
    await counts('steady');
    const stopped = stop(...names);
    await sleep(Math.random() * 500);
    await killDriver(cluster, 'pinner');
    await stopped;
    await nothingMore(cluster, { ...before, descriptors: {} });
    await counts('steady');
  });
});

test('how long a program takes to be loaded, beside one of a privileged pod', async (context) => {
  const seconds = async (pod: ReturnType<typeof loader>) => {
    const begun = performance.now();
    await space.apply(pod);
    await attached(pod.metadata.name);
    const taken = (performance.now() - begun) / 1000;
    await stop(pod.metadata.name);
    return taken.toFixed(1);
  };
  const pins = `/sys/fs/bpf/${space.name}`;
  const command = ['sh', '-c', `mkdir -p ${pins}; exec counter-libbpf /bin/counter.bpf.o eth0 ${pins}`];
  const volumeMounts = [{ name: 'bpffs', mountPath: '/sys/fs/bpf' }];
  const container = { env: [], command, volumeMounts, securityContext: { privileged: true } };
  const volumes = [{ name: 'bpffs', hostPath: { path: '/sys/fs/bpf', type: 'Directory' } }];
  for (const round of [1, 2, 3]) {
    const delegated = await seconds(loader(`delegated-${round}`));
    const spec = { hostUsers: true, initContainers: [], volumes };
    const privileged = await seconds(loader(`privileged-${round}`, { container, spec }));
    context.diagnostic(`from apply to attached: ${delegated} s delegated, ${privileged} s privileged`);
  }
  await maps.remove(space.name);
});

test('a delegation that is withdrawn stays with the containers that run, and gives those that start no token', async () => {
  await asDocumented(WITHDRAW);
  await space.described('pod/steady', /Warning\s+DelegationRevoked/, WITHIN_S);
  await counts('steady', { delegation: 1 });
  await killSandbox('steady');
  await eventually('its helper is refused', WITHIN_S, async () => {
    const log = await kubectl('logs', 'steady', '--container=delegate');
    return /has no socket\/delegate: .* its grant is withdrawn/.test(log) || assert.fail(log);
  });
});

test('nothing is left of pods that are gone', async () => {
  await stop('--all');
  await nothingMore(cluster, { ...initial, descriptors: {} });
});
