// `kubectl bpffs`, as one installs it: its answers are compared with what the node's kernel shows.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Graph } from '../../src/kubectl/graph/graph.ts';
import type { NodeStatus } from '../../src/kubectl/status.ts';
import type { MapMemory } from '../../src/kubectl/top.ts';
import type { MapUser } from '../../src/kubectl/who.ts';
import { eventually } from '../cluster/eventually.ts';
import { NODE_NAME } from '../cluster/node.ts';
import { NAMESPACE } from '../deploy/helm.ts';
import { useNoAdmission } from './admission.ts';
import { nodeMaps } from './node-maps.ts';
import { account, mapRole, pinnedMap, roleBinding, serviceAccount } from './objects.ts';
import { inline, pod } from './pods.ts';
import { cluster, WITHIN_S } from './running.ts';
import { useSpace } from './space.ts';

const ROOT = join(import.meta.dirname, '../..');
const BPFTOOL = join(ROOT, 'test/clients/debian/bin/bpftool');

const FLOWS = 'e2e-inspect-flows';
const LIMITS = 'e2e-inspect-limits';

const maps = nodeMaps(cluster);
// The driver, and not the admission policy, shall refuse.
useNoAdmission();
const space = useSpace();

/** Runs `kubectl bpffs`, as kubectl runs its plugins. Throws if its exit code is not 0. */
async function bpffs(...args: readonly string[]): Promise<string> {
  const run = `PATH=${join(ROOT, 'dist/kubectl')}:$PATH exec kubectl bpffs "$@"`;
  return await cluster.run('sh', '-c', run, 'sh', ...args);
}

async function items<T>(...args: readonly string[]): Promise<readonly T[]> {
  const { items, unanswered } = JSON.parse(await bpffs(...args, '--output=json'));
  assert.deepEqual(unanswered, []);
  return items;
}

/** A pinned map, as the kernel has it. */
async function pinned(path: string): Promise<{ readonly id: number; readonly memory: number }> {
  const shown = JSON.parse(await cluster.run(BPFTOOL, '--json', 'map', 'show', 'pinned', `/sys/fs/bpf/${path}`));
  return { id: shown.id, memory: Number(shown.bytes_memlock) };
}

before(async () => {
  await maps.create('inspect/flows', { 1: 1 });
  await maps.create('inspect/limits', { 1: 1 });
  await space.apply(
    pinnedMap(FLOWS, 'inspect/flows', { fileName: 'flows' }),
    pinnedMap(LIMITS, 'inspect/limits', { fileName: 'limits', maxAccess: 'ReadWrite' }),
    serviceAccount('app'),
    serviceAccount('stranger'),
    mapRole(`${space.name}-app`, { read: [FLOWS, LIMITS], write: [LIMITS] }),
    roleBinding('app', `${space.name}-app`, account(space.name, 'app')),
  );
  await space.start(
    pod('reader', { serviceAccount: 'app', volume: inline({ maps: FLOWS }) }),
    pod('writer', { serviceAccount: 'app', volume: inline({ maps: `${FLOWS}, ${LIMITS}:rw` }) }),
  );
});
after(() => maps.remove('inspect'));

test('who: each pod with its access and the map that the kernel has at the pin', async () => {
  const { id, memory } = await pinned('inspect/flows');
  const users = await items<MapUser>('who', FLOWS);
  assert.deepEqual(
    users.map(({ since, ...user }) => ({ ...user, isKnownSince: since !== null })),
    ['reader', 'writer'].map((name) => ({
      node: NODE_NAME,
      namespace: space.name,
      pod: name,
      serviceAccount: 'app',
      volume: 'maps',
      file: 'flows',
      access: 'read',
      mapId: id,
      memoryBytes: memory,
      isCurrent: true,
      generations: 1,
      isKnownSince: true,
    })),
  );
  const [limits, ...none] = await items<MapUser>('who', LIMITS);
  assert.deepEqual(none, []);
  assert.equal(limits?.pod, 'writer');
  assert.equal(limits.access, 'write');
  assert.equal(limits.mapId, (await pinned('inspect/limits')).id);
});

test('who: a map that its loader replaced is not current until the node has renewed the volume', async () => {
  const before = await pinned('inspect/limits');
  await maps.create('inspect/limits', { 1: 2 });
  const after = await pinned('inspect/limits');
  assert.notEqual(after.id, before.id);
  const [user] = await items<MapUser>('who', LIMITS);
  // The kubelet may have been quicker.
  assert.equal(user?.isCurrent, user?.mapId === after.id);
  await eventually('the volume has the new map', WITHIN_S, async () => {
    const [now] = await items<MapUser>('who', LIMITS);
    return now?.mapId === after.id && now.isCurrent === true && now.generations === 2;
  });
});

test('top: the kernel memory of the maps of this namespace', async () => {
  const rows = await items<MapMemory>('top', '-n', space.name);
  const expected = await Promise.all(
    [
      { bpfMap: FLOWS, path: 'flows', pods: 2 },
      { bpfMap: LIMITS, path: 'limits', pods: 1 },
    ].map(async ({ bpfMap, path, pods }) => {
      const { memory } = await pinned(`inspect/${path}`);
      return { namespace: space.name, bpfMap, nodes: 1, pods, maps: 1, memoryBytes: memory };
    }),
  );
  assert.deepEqual(
    new Set(rows.map((row) => JSON.stringify(row))),
    new Set(expected.map((row) => JSON.stringify(row))),
  );
});

test('status: the node, its kernel, and as many volumes as are mounted', async () => {
  const [node, ...others] = await items<NodeStatus>('status');
  assert.deepEqual(others, []);
  assert.equal(node?.node, NODE_NAME);
  assert.equal(node.kernel, (await cluster.run('uname', '-r')).trim());
  assert.deepEqual(node.failures, []);
  const mounted = await cluster.run(
    'sh',
    '-c',
    "grep -c 'kubernetes.io~csi/[^ ]*/mount .* - bpf ' /proc/self/mountinfo || true",
  );
  assert.ok(node.volumes >= 2 && node.volumes <= Number(mounted), `${node.volumes} volumes, ${mounted} mounts`);
});

suite('what was refused', () => {
  test('a refused pod appears in denials, with what would help', async () => {
    await space.apply(pod('stranger', { serviceAccount: 'stranger', volume: inline({ maps: FLOWS }) }));
    await space.described('pod/stranger', /FailedMount .*PermissionDenied/);
    const [denial, ...others] = await items<Record<string, unknown>>('denials', '--since=10m', '-n', space.name);
    assert.deepEqual(others, []);
    const { serviceAccount, bpfMap, verb, reason, node, pod: name } = denial ?? {};
    assert.deepEqual(
      { serviceAccount, bpfMap, verb, reason, node, name },
      { serviceAccount: 'stranger', bpfMap: FLOWS, verb: 'read', reason: 'grant', node: NODE_NAME, name: 'stranger' },
    );
    assert.match(`${denial?.message}`, /kubectl create role /);
  });

  test('can says the same, and why the other account may', async () => {
    const table = await bpffs('can', `${space.name}/stranger`);
    assert.match(table, new RegExp(`^${FLOWS} +no +no$`, 'm'));
    const may = await bpffs('can', `${space.name}/app`, 'write', LIMITS);
    assert.match(may, new RegExp(`^${LIMITS} +yes +RBAC: .*ClusterRole "${space.name}-app"`, 'm'));
  });
});

test('doctor: this node can have volumes', async () => {
  const text = await bpffs('doctor');
  assert.match(text, /^ok +DaemonSet csi-driver-bpffs-node +cluster +1 of 1 pods are ready$/m);
  assert.match(text, /^ok +kernel: read-only-superblock /m);
  assert.doesNotMatch(text, /^fail /m);
});

test('graph: one file, with the pods, the denial and the replaced map', async () => {
  const file = '/run/bpffs-graph.html';
  await bpffs('graph', file);
  const html = await readFile(cluster.node.path(file), 'utf8');
  assert.doesNotMatch(html, /(src|href)="http/);
  const [, json = ''] = /<script type="application\/json" id="graph">(.*?)<\/script>/s.exec(html) ?? [];
  const { maps: shown, pods, paths }: Graph = JSON.parse(json);
  const pathOf = (map: string, podName: string) =>
    paths.find((path) => shown[path.map]?.name === map && path.pod !== null && pods[path.pod]?.name === podName);
  assert.equal(pathOf(FLOWS, 'reader')?.access, 'read');
  assert.equal(pathOf(FLOWS, 'reader')?.replaced, null);
  assert.notEqual(pathOf(LIMITS, 'writer')?.replaced, null, 'it was replaced');
  assert.equal(pathOf(FLOWS, 'stranger')?.refused?.reason, 'grant');
  if (process.env.E2E_GRAPH !== undefined) await writeFile(process.env.E2E_GRAPH, html);
});

test('an account with the chart’s roles may ask, and one with less is told which right is missing', async () => {
  await space.apply(serviceAccount('inspector'));
  const as = ['--as', `system:serviceaccount:${space.name}:inspector`];
  await assert.rejects(
    bpffs('status', ...as),
    /you may not list pods in namespace csi-driver-bpffs: .*csi-driver-bpffs-inspector/,
  );
  await cluster.apply([
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'e2e-inspector', namespace: NAMESPACE },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'csi-driver-bpffs-inspector' },
      subjects: [account(space.name, 'inspector')],
    },
  ]);
  try {
    assert.match(await bpffs('status', ...as), new RegExp(`^${NODE_NAME} `, 'm'));
    assert.match(await bpffs('who', FLOWS, ...as), /reader/);
    await assert.rejects(bpffs('can', 'a/b', ...as), /you may not list bpfmaps\.bpffs\.dev/);
  } finally {
    await cluster.kubectl('delete', 'rolebinding', 'e2e-inspector', `--namespace=${NAMESPACE}`);
  }
});
