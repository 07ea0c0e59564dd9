import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CallError, Code } from '../../src/errors.ts';
import { type Bpfman, createBpfman } from '../../src/maps/bpfman.ts';
import type { BpfmanSource } from '../../src/maps/catalog.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { definition, program, state } from './bpfman-objects.ts';

let api: ApiServer;
let bpfman: Bpfman;
before(async () => {
  api = await startApiServer();
  const resources = ['bpfapplicationstates', 'clusterbpfapplicationstates'];
  const client = await api.clientFor('node-plugin', [
    { apiGroups: ['bpfman.io'], resources, verbs: ['list', 'watch'] },
  ]);
  bpfman = createBpfman({ client, nodeName: 'node-1', timing: { minBackoffMs: 50, maxBackoffMs: 500 } });
});
after(async () => {
  bpfman?.close();
  await api?.stop();
});

const source = (change: Partial<BpfmanSource> = {}): BpfmanSource => ({
  kind: 'bpfman',
  namespace: undefined,
  application: 'go-xdp-counter',
  program: 'xdp_stats_of_everything',
  programTag: undefined,
  map: 'xdp_stats_map',
  ...change,
});

const unavailable = (message: RegExp) => (error: unknown) => {
  assert(error instanceof CallError);
  assert.equal(error.code, Code.UNAVAILABLE);
  assert.match(error.message, message);
  return true;
};

const resolves = (source: BpfmanSource, programId: number) =>
  eventually(`it is program ${programId}`, 10, async () => {
    assert.equal((await bpfman.resolve(source)).programId, programId);
    return true;
  });

test('without bpfman that is said', async () => {
  const absent =
    /^nothing is known of (clusterb|b)pfapplicationstates\.bpfman\.io yet: .*CustomResourceDefinition installed\?$/;
  await assert.rejects(bpfman.resolve(source()), unavailable(absent));
  await assert.rejects(bpfman.resolve(source({ namespace: 'prod' })), unavailable(absent));
});

test('bpfman is found when it is installed later, and its programs when they are loaded', async () => {
  await api.apply(definition('ClusterBpfApplicationState', 'Cluster'), definition('BpfApplicationState', 'Namespaced'));
  await eventually('its objects can be asked for', 20, async () => {
    await assert.rejects(
      bpfman.resolve(source()),
      unavailable(/^bpfman knows no ClusterBpfApplication go-xdp-counter on node node-1$/),
    );
    return true;
  });
  await api.apply(state('go-xdp-counter', 'node-1', [program('xdp_stats_of_everything')]));
  await eventually('the application is there', 10, async () => {
    await assert.rejects(
      bpfman.resolve(source()),
      unavailable(
        /^bpfman has not loaded program "xdp_stats_of_everything" of ClusterBpfApplication go-xdp-counter on node node-1: LoadSuccess$/,
      ),
    );
    return true;
  });
  await api.apply(state('go-xdp-counter', 'node-1', [program('other', 6), program('xdp_stats_of_everything', 7)]));
  await resolves(source(), 7);
  const found = { map: 'xdp_stats_map', program: 'xdp_stats_of_ev', programTag: '', programId: 7 };
  assert.deepEqual(await bpfman.resolve(source()), found);
  const programTag = '0123456789abcdef';
  assert.deepEqual(await bpfman.resolve(source({ programTag })), { ...found, programTag });
  await api.apply(state('go-xdp-counter', 'node-1', [program('xdp_stats_of_everything', 8)]));
  await resolves(source(), 8);
});

test('what is wrongly named is named', async () => {
  await assert.rejects(
    bpfman.resolve(source({ application: 'go-xdp-countr' })),
    unavailable(/ClusterBpfApplication go-xdp-countr on node node-1; did you mean "go-xdp-counter"\?$/),
  );
  await assert.rejects(
    bpfman.resolve(source({ program: 'xdp_stats' })),
    unavailable(/has no program "xdp_stats"; did you mean "xdp_stats_of_everything"\?$/),
  );
});

test('another node and another namespace are others', async () => {
  await api.kubectl(['create', 'namespace', 'prod']);
  await api.apply(
    state('elsewhere', 'node-2', [program('p', 1)]),
    state('mixed', 'node-1', [program('p', 2)]),
    state('mixed', 'node-1', [program('p', 3)], 'prod'),
  );
  await resolves(source({ application: 'mixed', program: 'p' }), 2);
  await resolves(source({ application: 'mixed', program: 'p', namespace: 'prod' }), 3);
  await assert.rejects(
    bpfman.resolve(source({ application: 'mixed', program: 'p', namespace: 'dev' })),
    unavailable(/^bpfman knows no BpfApplication dev\/mixed on node node-1$/),
  );
  await assert.rejects(bpfman.resolve(source({ application: 'elsewhere', program: 'p' })), unavailable(/knows no/));
});

test('a state that is none hides no other', async () => {
  await api.apply(
    { ...state('odd', 'node-1', []), status: { programs: 'none' } },
    state('late', 'node-1', [program('p', 9)]),
  );
  await resolves(source({ application: 'late', program: 'p' }), 9);
  await assert.rejects(bpfman.resolve(source({ application: 'odd', program: 'p' })), unavailable(/knows no/));
});
