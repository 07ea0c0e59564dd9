import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../cluster/eventually.ts';
import { NAMESPACE } from '../deploy/helm.ts';
import { nodeMaps } from './node-maps.ts';
import { type DriverProcess, driverProcesses, nodeState, nothingMore } from './node-state.ts';
import { account, claim, mapRole, pinnedMap, roleBinding, serviceAccount, storageClass } from './objects.ts';
import { claimed, inline, pod } from './pods.ts';
import { cluster } from './running.ts';
import { useSpace } from './space.ts';

const maps = nodeMaps(cluster);
const space = useSpace();
const { start, stop, kubectl } = space;

const FLOWS = 'e2e-faults-flows';
const LATER = 'e2e-faults-later';
const SHARED = 'e2e-faults-shared';
const BURST = 8;
// Each lets the kubelet wait twice as long before it starts the container again.
const KILLS = 2;
const AWAY_S = 120;

const app: typeof pod = (name, options) => pod(name, { serviceAccount: 'app', ...options });
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

/** Reads its maps ten times a second, and says so when it cannot. */
const reading = (path: string) => ({
  command: ['sh', '-c', `while :; do map read ${path} >/dev/null || echo FAILED; sleep 0.1; done`],
});

before(async () => {
  await maps.create('faults/flows', { 1: 1 });
  await space.apply(
    pinnedMap(FLOWS, 'faults/flows', { fileName: 'flows' }),
    pinnedMap(LATER, 'faults/later', { fileName: 'later' }),
    serviceAccount('app'),
    mapRole(`${space.name}-app`, { read: [FLOWS, LATER] }),
    roleBinding('app', `${space.name}-app`, account(space.name, 'app')),
    storageClass(SHARED, {
      type: 'shared',
      newMaps: '[{ name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 16 }]',
    }),
    claim('shared', SHARED),
  );
  await start(
    app('reader', { volume: inline({ maps: FLOWS }), container: reading('/maps/flows') }),
    app('follower', {
      volume: inline({ maps: FLOWS }),
      mount: { mountPropagation: 'HostToContainer' },
      container: reading('/maps/flows'),
    }),
    app('sharer', { volume: claimed('shared'), container: reading('/maps/counts') }),
  );
});
after(() => maps.remove('faults'));

/** However long the kubelet waits before it starts a container again that was killed often, or tries to mount again. */
async function untilReady(...pods: readonly string[]): Promise<void> {
  await eventually(`${pods} run`, 240, async () => {
    await space.ready(...pods);
    return true;
  });
}

/** What was running before goes on, and what comes now starts. */
async function assertWell(newcomer: string): Promise<void> {
  await space.apply(app(newcomer, { volume: inline({ maps: FLOWS }) }));
  await untilReady(newcomer);
  assert.equal(await space.read(newcomer, '/maps/flows'), '1=1');
  for (const name of ['reader', 'follower', 'sharer']) {
    assert.equal(await kubectl('logs', name), '', `${name} could not read its maps for a moment`);
  }
  await stop(newcomer);
}

/** Kills it, and waits until the kubelet has started it again. */
async function killDriver(process: DriverProcess): Promise<void> {
  const { [process]: pid } = await driverProcesses(cluster);
  await cluster.run('kill', '-KILL', `${pid}`);
  await eventually('it is started again', 120, async () => {
    const { [process]: next } = await driverProcesses(cluster);
    return next !== pid;
  });
}

const DAEMON_SET = ['daemonset/csi-driver-bpffs-node', `--namespace=${NAMESPACE}`] as const;

test('the DaemonSet is rolled', async () => {
  await cluster.kubectl('rollout', 'restart', ...DAEMON_SET);
  await cluster.kubectl('rollout', 'status', ...DAEMON_SET, '--timeout=120s');
  await assertWell('after-roll');
});

for (const process of ['plugin', 'pinner'] as const) {
  test(`SIGKILL of the ${process} while pods start and end`, async () => {
    const before = await nodeState(cluster);
    const pods = names(`${process}-burst`, BURST);
    await space.apply(...pods.map((name) => app(name, { volume: inline({ maps: FLOWS }) })));
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(700);
      await killDriver(process);
    }
    await untilReady(...pods);
    const deleted = stop(...pods);
    await sleep(300);
    await killDriver(process);
    await deleted;
    await assertWell(`after-${process}`);
    await nothingMore(cluster, { ...before, descriptors: {} });
  });
}

for (const component of ['kubelet', 'containerd'] as const) {
  test(`the ${component} is restarted`, async () => {
    await cluster.components[component].restart();
    await assertWell(`after-${component}`);
  });
}

test(`the API server is away for ${AWAY_S} s`, async () => {
  await space.apply(app('waiting', { volume: inline({ maps: LATER }) }));
  await space.described('pod/waiting', /nothing is pinned at .*later/);
  await cluster.components['kube-apiserver'].stop();
  try {
    await maps.create('faults/later', { 3: 3 });
    await sleep(AWAY_S * 1000);
  } finally {
    await cluster.components['kube-apiserver'].start();
  }
  await untilReady('waiting');
  assert.equal(await space.read('waiting', '/maps/later'), '3=3');
  await stop('waiting');
  await assertWell('after-api-server');
});

test('what was published is gone when its pods are', async () => {
  await stop('reader', 'follower', 'sharer');
  await kubectl('delete', 'persistentvolumeclaim/shared', '--timeout=60s');
  const left = (await cluster.run('findmnt', '--list', '--noheadings', '--output=TARGET')).split('\n');
  assert.deepEqual(
    left.filter((target) => target.includes('/volumes/kubernetes.io~csi/')),
    [],
  );
});
