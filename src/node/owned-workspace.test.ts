import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import type { BpfMap, OwnedWorkspaceSource } from '../maps/catalog.ts';
import type { OwnerKind } from '../maps/workspace-owner.ts';
import type { Volume, VolumeOwner, VolumeSpec, WorkloadKind } from '../volumes/volume.ts';
import { ownedWorkspaceMap } from './owned-workspace.ts';
import { createSourceResolver } from './source-resolver.ts';

const source = (kind: OwnerKind = 'DaemonSet', name = 'agent'): OwnedWorkspaceSource => ({
  kind: 'ownedWorkspace',
  owner: { kind, namespace: 'net', name },
  volume: 'pins',
  path: 'maps/flows',
});
const map: BpfMap = { name: 'flows', fileName: 'flows', maxAccess: 'ReadOnly', source: source() };

const ownerOf = (pod: string, kind: WorkloadKind = 'DaemonSet', change: Partial<VolumeOwner> = {}): VolumeOwner => ({
  ...{ pod, volume: 'pins', serviceAccount: 'loader' },
  workload: { kind, name: 'agent', uid: 'u' },
  ...change,
});

/** A volume of an ephemeral claim on node-1, created at second `at`. */
const volume = (id: string, at: number, spec: Partial<VolumeSpec>, binding?: Volume['binding']): Volume => ({
  id,
  createdAt: new Date(at * 1000),
  binding,
  spec: {
    ...{ volumeName: id, content: { type: 'workspace' }, userNamespace: false, accessModes: [], capacityBytes: 0 },
    ...{ nodeName: 'node-1', claim: { namespace: 'net', name: id } },
    ...spec,
  },
});

/** What the source is on node-1, where pods have used `kept`: the id of a workspace, or why it is none. */
async function resolve(
  volumes: readonly Volume[] | undefined,
  { kept = [], of = source(), knowsOwners = true, damaged = [] }: Partial<Options> = {},
): Promise<string> {
  try {
    const found = await ownedWorkspaceMap(map, of, {
      nodeId: 'node-1',
      volumes: volumes && { list: async () => ({ volumes, damaged }) },
      kept: async () => kept,
      knowsOwners,
    });
    assert.equal(found.workspace?.path, 'maps/flows');
    return found.workspace.volumeId;
  } catch (error) {
    assert(error instanceof CallError);
    return `${Code[error.code]} ${error.message}`;
  }
}

interface Options {
  readonly kept: readonly string[];
  readonly of: OwnedWorkspaceSource;
  readonly knowsOwners: boolean;
  readonly damaged: readonly string[];
}

test('it is the workspace of the owner’s pod on this node', async () => {
  const all = [
    volume('ours', 1, { owner: ownerOf('agent-1') }),
    volume('of-a-deployment', 2, { owner: ownerOf('agent-2', 'Deployment') }),
    volume('of-a-stateful-set', 3, { owner: ownerOf('agent-3', 'StatefulSet') }),
    volume('elsewhere', 4, { owner: ownerOf('agent-4'), nodeName: 'node-2' }),
    volume('of-another-volume', 5, { owner: ownerOf('agent-5', 'DaemonSet', { volume: 'other' }) }),
    volume('unproven', 6, { owner: { pod: 'agent-6', volume: 'pins', serviceAccount: 'poser' }, ownerProblem: 'no' }),
    volume('other-namespace', 7, { owner: ownerOf('agent-7'), claim: { namespace: 'prod', name: 'c' } }),
    volume('by-hand', 8, {}),
    volume('no-workspace', 9, { owner: ownerOf('agent-9'), content: { type: 'shared', newMaps: [] } }),
    volume('retained', 10, { owner: ownerOf('agent-10') }, { phase: 'Released' }),
    volume('reused', 11, { owner: ownerOf('agent-11') }, { phase: 'Bound', claim: { namespace: 'net', name: 'mine' } }),
  ];
  const kept = all.map(({ id }) => id);
  assert.equal(await resolve(all, { kept }), 'ours');
  assert.equal(await resolve(all, { kept, of: source('Deployment') }), 'of-a-deployment');
  assert.equal(await resolve(all, { kept, of: source('StatefulSet') }), 'of-a-stateful-set');
  assert.equal(await resolve(all, { kept, of: source('ServiceAccount', 'poser') }), 'unproven');
  assert.equal(await resolve(all, { kept, of: source('ServiceAccount', 'loader') }), 'of-a-stateful-set');
});

test('while a workload is rolled out, it is the newest that a pod has mounted', async () => {
  const old = volume(
    'old',
    1,
    { owner: ownerOf('agent-1') },
    { phase: 'Bound', claim: { namespace: 'net', name: 'old' } },
  );
  const young = volume('young', 2, { owner: ownerOf('agent-2') });
  assert.equal(await resolve([old, young], { kept: ['old'] }), 'old');
  assert.equal(await resolve([old, young], { kept: ['old', 'young'] }), 'young');
  assert.equal(await resolve([young], { kept: [] }), 'young');
});

test('if there is none, it says what is there instead, and why that is of nobody', async () => {
  const none =
    'UNAVAILABLE map "flows": there is no workspace on node node-1 that is volume "pins" of DaemonSet net/agent; start a pod of it here, with this volume as a generic ephemeral one';
  assert.equal(await resolve([]), none);
  assert.equal(await resolve([volume('by-hand', 1, {})]), none);
  const elsewhere = volume('elsewhere', 1, { ownerProblem: 'no', claim: { namespace: 'prod', name: 'c' } });
  assert.equal(await resolve([elsewhere]), none);
  const problem = (text: string) => volume('v', 1, { ownerProblem: text });
  assert.equal(
    await resolve([problem('a'), problem('b'), problem('pod net/agent-1 belongs to no workload')]),
    `${none}; what is there: pod net/agent-1 belongs to no workload; a`,
  );
  assert.equal(
    await resolve([volume('v', 1, { owner: ownerOf('agent-1', 'DaemonSet', { volume: 'bpf' }) })]),
    `${none}; what is there: volume "bpf" of DaemonSet net/agent, which is volume "bpf" of ServiceAccount net/loader`,
  );
  assert.equal(await resolve([], { damaged: ['BpfVolume v'] }), `${none}; what is there: BpfVolume v`);
});

test('without a cluster nobody knows whose a workspace is', async () => {
  const text =
    'FAILED_PRECONDITION map "flows": volume "pins" of DaemonSet net/agent: whose a workspace is, is only known in clusters (--cluster); name its claim in source.workspace.claim';
  assert.equal(await resolve([], { knowsOwners: false }), text);
  assert.equal(await resolve(undefined, { knowsOwners: true }), text);
  const volumes = { list: async () => ({ volumes: [], damaged: [] }), get: async () => undefined };
  const resolver = createSourceResolver({ nodeId: 'node-1', volumes, kept: async () => [], bpfman: undefined });
  await assert.rejects(
    async () => resolver(map),
    (error) => error instanceof CallError && `${Code[error.code]} ${error.message}` === text,
  );
});
