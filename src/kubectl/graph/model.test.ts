import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DenialReport, FileReport, VolumeReport } from '../../inspection/reports.ts';
import type { Graph, Path } from './graph.ts';
import { type GraphInput, toGraph } from './model.ts';
import type { NodeAnswer } from './uses.ts';

const TIME = '2026-11-26T16:04:09Z';
const FLOWS = { name: 'flows', source: 'pinned /sys/fs/bpf/flows', maxAccess: 'read' };

const file = (change: Partial<FileReport> = {}): FileReport => ({
  path: 'flows',
  access: 'read',
  bpfMap: 'flows',
  map: { id: 7, name: 'flows', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 100, flags: 0, memoryBytes: 4096 },
  isCurrent: true,
  ...change,
});

const volume = (change: Partial<VolumeReport> = {}): VolumeReport => ({
  name: 'maps',
  volumeId: 'csi-1',
  type: 'maps',
  podUid: 'uid-1',
  pod: { namespace: 'prod', name: 'collector-0', serviceAccount: 'collector' },
  since: TIME,
  generations: 1,
  files: [file()],
  refusals: [],
  filesLeftOut: 0,
  ...change,
});

const denial = (change: Partial<DenialReport> = {}): DenialReport => ({
  namespace: 'prod',
  serviceAccount: 'collector',
  pod: 'collector-0',
  bpfMap: 'flows',
  verb: 'read',
  reason: 'grant',
  message: 'no rule',
  first: TIME,
  last: TIME,
  count: 3,
  ...change,
});

const answer = (volumes: VolumeReport[], denials: DenialReport[] = [], node = 'node-a'): NodeAnswer => ({
  node,
  volumes: { node, time: TIME, volumes, volumesLeftOut: 0 },
  denials: { node, time: TIME, since: TIME, denials, denialsLeftOut: 0 },
});

const graphOf = (nodes: readonly NodeAnswer[], change: Partial<GraphInput> = {}, maxEntries?: number) =>
  toGraph({ cluster: 'c', time: TIME, bpfMaps: [FLOWS], nodes, ...change }, maxEntries);

/** "source > map > service account > pod @ node", with what is said of the path. */
function described(graph: Graph): readonly string[] {
  return graph.paths.map((path) => {
    const map = graph.maps[path.map];
    const source = `${graph.sources[map?.source ?? -1]} > ${map?.name}`;
    const pod = path.pod === null ? undefined : graph.pods[path.pod];
    if (!pod) return source;
    const account = graph.accounts[pod.account];
    const owner = account ? `${account.namespace}/${account.name}` : 'unknown';
    return `${source} > ${owner} > ${pod.name} @ ${graph.nodes[pod.node]?.name}: ${stateOf(path)}`;
  });
}

function stateOf({ refused, access, replaced }: Path): string {
  if (refused) return `${refused.verb} refused, ${refused.reason}, ${refused.count}`;
  return `${access}${replaced ? `, ${replaced}` : ''}`;
}

test('a file of a BpfMap is a path from its source to the pod', () => {
  const graph = graphOf([answer([volume()])]);
  assert.deepEqual(described(graph), [
    'pinned /sys/fs/bpf/flows > flows > prod/collector > collector-0 @ node-a: read',
  ]);
  assert.deepEqual(graph.kernelMaps, [{ ...file().map, node: 0 }]);
  assert.equal(graph.maps[0]?.maxAccess, 'read');
});

test('a map has one id on each node: equal ids of two nodes are two maps', () => {
  const graph = graphOf([answer([volume(), volume({ podUid: 'uid-2' })]), answer([volume()], [], 'node-b')]);
  assert.deepEqual(
    graph.kernelMaps.map(({ id, node }) => [id, node]),
    [
      [7, 0],
      [7, 1],
    ],
  );
  assert.equal(graph.maps.length, 1);
});

test('maps without a BpfMap are shown by volume, and volumes are told apart by their ids', () => {
  const files = [file({ bpfMap: null }), file({ bpfMap: null, access: 'write', map: { ...file().map, id: 8 } })];
  const graph = graphOf(
    [
      answer([
        volume({ name: 'pvc-1', volumeId: 'v1', type: 'shared', files }),
        volume({ name: 'pvc-1', volumeId: 'v2', type: 'shared', files }),
        volume({ name: 'pvc-2', volumeId: 'v3', type: 'workspace', files: [] }),
        volume({ name: 'maps', volumeId: 'v4', type: null, pod: null, since: null, files }),
      ]),
    ],
    { bpfMaps: [] },
  );
  assert.deepEqual(described(graph), [
    'shared volume > pvc-1 > prod/collector > collector-0 @ node-a: write',
    'shared volume > pvc-1 > prod/collector > collector-0 @ node-a: write',
    'workspace > pvc-2 > prod/collector > collector-0 @ node-a: null',
    'not known yet > maps > unknown > uid-1 @ node-a: write',
  ]);
  assert.deepEqual(graph.paths[0]?.kernelMaps, [0, 1]);
  assert.equal(graph.maps.length, 4);
});

test('BpfMaps that no pod uses are shown, with their sources', () => {
  assert.deepEqual(described(graphOf([])), ['pinned /sys/fs/bpf/flows > flows']);
});

test('a BpfMap that is not in the cluster, or cannot be looked up, says so', () => {
  assert.match(`${described(graphOf([answer([volume()])], { bpfMaps: [] }))}`, /^no such BpfMap > flows/);
  assert.match(
    `${described(graphOf([answer([volume()])], { bpfMaps: undefined }))}`,
    /^not known: you may not list BpfMaps > flows/,
  );
});

test('a map is marked as replaced if its source has another, or its volume more generations', () => {
  const graph = graphOf([
    answer([
      volume({ files: [file({ isCurrent: false })] }),
      volume({ generations: 2 }),
      volume({ files: [file({ isCurrent: null })] }),
    ]),
  ]);
  assert.deepEqual(
    graph.paths.map(({ replaced }) => replaced?.split(/[ :]/, 2).join(' ') ?? null),
    ['its source', 'generation 2', null],
  );
});

test('a denial is a path that is refused, with its numbers', () => {
  const graph = graphOf([answer([], [denial({ verb: 'write', message: 'why' })])]);
  assert.deepEqual(described(graph), [
    'pinned /sys/fs/bpf/flows > flows > prod/collector > collector-0 @ node-a: write refused, grant, 3',
  ]);
  assert.deepEqual(graph.paths[0]?.refused, { verb: 'write', reason: 'grant', message: 'why', count: 3, last: TIME });
});

test('a denial of what the pod has by now is left out', () => {
  const states = (verb: 'read' | 'write', access: 'read' | 'write') =>
    graphOf([answer([volume({ files: [file({ access })] })], [denial({ verb })])]).paths.map(stateOf);
  assert.deepEqual(states('read', 'read'), ['read']);
  assert.deepEqual(states('read', 'write'), ['write']);
  assert.deepEqual(states('write', 'write'), ['write']);
  assert.deepEqual(states('write', 'read'), ['read', 'write refused, grant, 3']);
  const ofAnother = graphOf([answer([volume()], [denial({ pod: 'collector-1' })])]);
  assert.deepEqual(ofAnother.paths.map(stateOf), ['read', 'read refused, grant, 3']);
});

test('a refusal of a volume and the denial of the same are one path', () => {
  const refusals = [{ bpfMap: 'flows', reason: 'denied', message: 'why' }];
  const both = graphOf([answer([volume({ files: [], refusals })], [denial()])]);
  assert.deepEqual(both.paths.map(stateOf), ['read refused, denied, 3']);
  const alone = graphOf([answer([volume({ files: [], refusals })])]);
  assert.deepEqual(alone.paths.map(stateOf), ['null refused, denied, null']);
});

test('a node that did not answer is listed with its error', () => {
  const graph = graphOf([{ node: 'node-a', error: 'refused' }, answer([], [], 'node-b')]);
  assert.deepEqual(graph.nodes, [
    { name: 'node-a', answered: false, error: 'refused' },
    { name: 'node-b', answered: true, error: null },
  ]);
});

test('what the reports and the graph have no room for is counted', () => {
  const { volumes, denials } = answer(
    [volume({ filesLeftOut: 2 }), volume({ podUid: 'uid-2' })],
    [denial({ pod: 'x' })],
  );
  assert.ok(volumes && denials);
  const nodes = [{ node: 'a', volumes: { ...volumes, volumesLeftOut: 3 }, denials: { ...denials, denialsLeftOut: 4 } }];
  assert.deepEqual(graphOf(nodes).leftOut, { volumes: 3, files: 2, refusals: 4 });
  const small = graphOf(nodes, { bpfMaps: [FLOWS, { ...FLOWS, name: 'other' }] }, 1);
  assert.equal(small.paths.length, 1);
  assert.deepEqual(small.leftOut, { volumes: 3, files: 3, refusals: 5 });
});
