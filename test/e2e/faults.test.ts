import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ComponentName } from '../cluster/components.ts';
import { eventually } from '../cluster/eventually.ts';
import { removeClaim } from './claims.ts';
import { killDriver, rollDriver } from './driver-faults.ts';
import { nodeMaps } from './node-maps.ts';
import { type NodeState, nodeState, nothingMore, targets } from './node-state.ts';
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
const BURST = 16;
const KILLS = 4;
const AWAY_S = 120;

const app: typeof pod = (name, options) => pod(name, { serviceAccount: 'app', ...options });
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

/** What readers always read. */
const ENTRIES = '1=1';
const READERS = ['reader', 'follower', 'sharer'];
/** Prints what it reads, or why it cannot, ten times a second. */
const reading = (path: string, first = ':') => ({
  command: ['sh', '-euc', `${first}; while :; do echo "$(map read ${path} 2>&1)"; sleep 0.1; done`],
});

let initial: NodeState;
before(async () => {
  await maps.create('faults/flows', { 1: 1 });
  initial = await nodeState(cluster);
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
    app('sharer', { volume: claimed('shared'), container: reading('/maps/counts', 'map write /maps/counts 1 1') }),
  );
  await assertReading();
});
after(() => maps.remove('faults'));

/** Waits as long as the kubelet may back off before it restarts a container or mounts again. */
async function untilReady(...pods: readonly string[]): Promise<void> {
  await eventually(`${pods} run`, 240, async () => {
    await space.ready(...pods);
    return true;
  });
}

/** How many times each reader has printed what it reads. */
const said = new Map<string, number>();

/** Checks that all readers have read the same since their start, and still do. */
async function assertReading(): Promise<void> {
  for (const name of READERS) {
    const lines = await eventually(`${name} goes on`, 10, async () => {
      const text = await kubectl('logs', name);
      const lines = text === '' ? [] : text.split('\n');
      return lines.length > (said.get(name) ?? 0) && lines;
    });
    said.set(name, lines.length);
    const others = lines.filter((line) => line !== ENTRIES);
    assert.deepEqual(others, [], `${name} could not read its maps for a moment`);
    const restarts = '--output=jsonpath={.status.containerStatuses[0].restartCount}';
    assert.equal(await kubectl('get', 'pod', name, restarts), '0');
  }
}

/**
 * Running pods read their maps all through the fault. A pod that waits for a map starts by itself when `pin` pins it during the
 * fault, and so does one that is created later.
 */
async function withstand(name: string, fault: (pin: () => Promise<void>) => Promise<void>): Promise<void> {
  const [waiting, later] = [`${name}-waiting`, `${name}-later`];
  await space.apply(app(waiting, { volume: inline({ maps: LATER }) }));
  await space.described(`pod/${waiting}`, /nothing is pinned at .*later/);
  try {
    await fault(() => maps.create('faults/later', { 3: 3 }));
    await space.apply(app(later, { volume: inline({ maps: FLOWS }) }));
    await untilReady(waiting, later);
    assert.equal(await space.read(waiting, '/maps/later'), '3=3');
    assert.equal(await space.read(later, '/maps/flows'), ENTRIES);
    await assertReading();
    await stop(waiting, later);
  } finally {
    await maps.remove('faults/later');
  }
}

test('the DaemonSet is rolled', () =>
  withstand('roll', async (pin) => {
    const rolled = await rollDriver(cluster);
    await pin();
    await rolled();
  }));

for (const process of ['plugin', 'pinner'] as const) {
  test(`SIGKILL of the ${process} while pods start and end`, async (context) => {
    const before = await nodeState(cluster);
    const published = async () => (await targets(cluster)).filter((target) => target.endsWith('/mount')).length;
    const pods = names(`${process}-burst`, BURST);
    await withstand(process, async (pin) => {
      const there = await published();
      const applied = space.apply(...pods.map((name) => app(name, { volume: inline({ maps: FLOWS }) })));
      await eventually('the first is published', 60, async () => (await published()) > there);
      for (let kill = 0; kill < KILLS; kill++) {
        context.diagnostic(`killed when ${(await published()) - there} of ${BURST} were published`);
        await killDriver(cluster, process);
      }
      await applied;
      await pin();
      await untilReady(...pods);
      const all = await published();
      const deleted = stop(...pods);
      const killed = eventually('the first is gone', 60, async () => (await published()) < all).then(async () => {
        context.diagnostic(`killed when ${all - (await published())} of ${BURST} were gone`);
        await killDriver(cluster, process);
      });
      await Promise.all([killed, deleted]);
    });
    await nothingMore(cluster, { ...before, descriptors: {} });
  });
}

async function without(component: ComponentName, meanwhile: () => Promise<void>): Promise<void> {
  await cluster.components[component].stop();
  try {
    await meanwhile();
  } finally {
    await cluster.components[component].start();
  }
}

for (const component of ['kubelet', 'containerd'] as const) {
  test(`the ${component} is restarted`, () => withstand(component, (pin) => without(component, pin)));
}

test(`the API server is away for ${AWAY_S} s`, () =>
  withstand('api-server', (pin) =>
    without('kube-apiserver', async () => {
      await pin();
      await sleep(AWAY_S * 1000);
    }),
  ));

test('what was published is gone when its pods are, and with its claim what was kept', async () => {
  await stop(...READERS);
  await removeClaim(space, 'shared');
  await nothingMore(cluster, { ...initial, descriptors: {} });
});
