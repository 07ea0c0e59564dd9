import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { nodeMaps } from './node-maps.ts';
import { mountsOf, type NodeState, nodeState, nothingMore } from './node-state.ts';
import { account, mapRole, pinnedMap, roleBinding, serviceAccount } from './objects.ts';
import { inline, pod } from './pods.ts';
import { cluster, WITHIN_S } from './running.ts';
import { useSpace } from './space.ts';

const maps = nodeMaps(cluster);
const space = useSpace();
const { exec, read, start, described } = space;

const FLOWS = 'e2e-running-flows';
const LIMITS = 'e2e-running-limits';
const SWAPS = 20;

/** The newest generation and the first, which containers that do not follow mounts keep; each with the writable map. */
const SETTLED = { maps: 2, 'maps/limits': 2 };

// Prints what it reads, and ends on a signal, so that the kubelet restarts it.
const command = ['sh', '-c', 'trap exit TERM; while :; do echo "$(map read /maps/flows 2>&1)"; sleep 0.1; done'];
const running = (name: string, mountPropagation: string) =>
  pod(name, {
    serviceAccount: 'app',
    volume: inline({ maps: `${FLOWS}, ${LIMITS}:rw` }),
    mount: { mountPropagation },
    container: { command },
  });

before(async () => {
  await maps.create('running/flows', { 1: 1 });
  await maps.create('running/limits', { 1: 1 });
  await space.apply(
    pinnedMap(FLOWS, 'running/flows', { fileName: 'flows' }),
    pinnedMap(LIMITS, 'running/limits', { fileName: 'limits', maxAccess: 'ReadWrite' }),
    serviceAccount('app'),
    mapRole(`${space.name}-reader`, { read: [FLOWS, LIMITS] }),
    mapRole(`${space.name}-writer`, { write: [LIMITS] }),
    roleBinding('reader', `${space.name}-reader`, account(space.name, 'app')),
    roleBinding('writer', `${space.name}-writer`, account(space.name, 'app')),
  );
  await start(running('follower', 'HostToContainer'), running('keeper', 'None'));
});
after(() => maps.remove('running'));

async function restart(name: string): Promise<void> {
  const restarts = () =>
    space.kubectl('get', 'pod', name, '--output=jsonpath={.status.containerStatuses[0].restartCount}');
  const before = await restarts();
  // It may end before it has answered.
  await exec(name, 'kill', '1').catch(() => {});
  await eventually('the container starts again', 60, async () => (await restarts()) !== before);
  await space.ready(name);
}

const untilRead = (name: string, file: string, entries: string) =>
  eventually(`${name} reads ${entries}`, WITHIN_S, async () => (await read(name, `/maps/${file}`)) === entries);

/** Waits until the node is done with both volumes. The mounts below a target are only visible once those above are gone. */
async function untilSwapped(entries: string): Promise<void> {
  for (const name of ['follower', 'keeper']) {
    const uid = await space.kubectl('get', 'pod', name, '--output=jsonpath={.metadata.uid}');
    const file = `${cluster.kubeletDirectory}/pods/${uid}/volumes/kubernetes.io~csi/maps/mount/flows`;
    await eventually(`the volume of ${name} has ${entries}`, WITHIN_S, async () => {
      assert.deepEqual(await mountsOf(cluster, space.name, name), SETTLED);
      return (await maps.read(file)) === entries;
    });
  }
}

const canWrite = (name: string) =>
  exec(name, 'map', 'write', '/maps/limits', '1', '1').then(
    () => true,
    (error: unknown) => (/EROFS/.test(`${error}`) ? false : Promise.reject(error)),
  );

test('a loader that starts again with a new map: who follows mounts sees it, any other when it restarts', async () => {
  await maps.create('running/flows', { 1: 2 });
  await untilRead('follower', 'flows', '1=2');
  assert.equal(await read('keeper', '/maps/flows'), '1=1');
  for (const name of ['follower', 'keeper']) {
    await described(
      `pod/${name}`,
      /Normal\s+MapReplaced .* In volume "maps", "flows" became another map at its source/,
    );
  }
  await restart('keeper');
  assert.equal(await read('keeper', '/maps/flows'), '1=2');
});

suite('a grant', () => {
  test('that is withdrawn takes the map, or the right to write it, from running pods', async () => {
    await space.kubectl('delete', 'rolebinding/writer');
    await eventually('it is read-only', WITHIN_S, async () => !(await canWrite('follower')));
    assert.equal(await read('follower', '/maps/limits'), '1=1');
    assert.equal(await canWrite('keeper'), true, 'a container that does not follow mounts keeps what it has');
    await described('pod/keeper', /Warning\s+MapAccessRevoked .*"limits" may only be read now/);
    await space.kubectl('delete', 'rolebinding/reader');
    await eventually('it is gone', WITHIN_S, async () => !(await exec('follower', 'ls', '/maps')).includes('flows'));
    await described('pod/follower', /MapAccessRevoked .*"flows", "limits" is not granted any more/);
    await restart('keeper');
    assert.doesNotMatch(await exec('keeper', 'ls', '/maps'), /flows|limits/);
  });

  test('that is given again gives it back', async () => {
    await space.apply(
      roleBinding('reader', `${space.name}-reader`, account(space.name, 'app')),
      roleBinding('writer', `${space.name}-writer`, account(space.name, 'app')),
    );
    await eventually('it can be written', WITHIN_S, () => canWrite('follower'));
    await untilRead('follower', 'flows', '1=2');
    await described('pod/follower', /Normal\s+MapAccessRestored .* is granted again/);
  });
});

test(`${SWAPS} swaps leave what one leaves, and who follows mounts reads a map at every moment`, async (context) => {
  let first: NodeState | undefined;
  const said = async () => (await space.kubectl('logs', 'follower')).split('\n');
  const before = await said();
  for (let swap = 1; swap <= SWAPS; swap++) {
    await maps.create('running/flows', { 1: 100 + swap });
    // A change of the pod makes the kubelet look at it at once.
    await space.kubectl('annotate', '--overwrite', 'pod/follower', 'pod/keeper', `swap=${swap}`);
    await untilRead('follower', 'flows', `1=${100 + swap}`);
    await untilSwapped(`1=${100 + swap}`);
    first ??= await nodeState(cluster);
  }
  assert(first);
  const since = (await said()).slice(before.length);
  assert(since.length > SWAPS);
  assert.deepEqual(
    since.filter((line) => !/^1=\d+$/.test(line)),
    [],
  );
  // Connections come and go; a leak would show as one descriptor per swap.
  const descriptors = Object.entries(first.descriptors).map(([process, count]) => [process, count + 4]);
  const last = await nothingMore(cluster, { ...first, descriptors: Object.fromEntries(descriptors) });
  context.diagnostic(`after one swap ${JSON.stringify(first)}, after ${SWAPS} ${JSON.stringify(last)}`);
});
