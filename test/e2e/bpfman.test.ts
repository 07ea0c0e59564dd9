import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { definition, program, state } from '../apiserver/bpfman-objects.ts';
import { type Limiter, startLimiter } from './limiter.ts';
import { account, bpfMap, mapRole, roleBinding, serviceAccount } from './objects.ts';
import { inline, pod } from './pods.ts';
import { cluster } from './running.ts';
import { useSpace } from './space.ts';

/** bpfman's objects for a loaded program, and such a program; bpfman itself is not here. */
const space = useSpace();
const DEFINITIONS = [
  definition('ClusterBpfApplicationState', 'Cluster'),
  definition('BpfApplicationState', 'Namespaced'),
];

const limits = (name: string, fields: object = {}) =>
  bpfMap(name, {
    source: { bpfman: { application: 'limiter', program: 'xdp_limit', map: 'limits', ...fields } },
    fileName: 'limits',
    maxAccess: 'ReadWrite',
  });
const app = (name: string, map: string) => pod(name, { serviceAccount: 'app', volume: inline({ maps: `${map}:rw` }) });

let limiter: Limiter;
before(async () => {
  limiter = await startLimiter();
  await cluster.apply(DEFINITIONS);
  await cluster.kubectl('wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all');
  await space.apply(
    limits('e2e-limiter'),
    bpfMap('e2e-limiter-loaded', {
      source: { loaded: { map: 'limits', program: 'xdp_limit' } },
      fileName: 'limits',
      maxAccess: 'ReadWrite',
    }),
    limits('e2e-limiter-tag', { programTag: limiter.programTag }),
    limits('e2e-limiter-other', { programTag: '0123456789abcdef' }),
    serviceAccount('app'),
    mapRole(`${space.name}-app`, { write: 'all' }),
    roleBinding('app', `${space.name}-app`, account(space.name, 'app')),
  );
});
after(async () => {
  await cluster.kubectl('delete', 'crd', 'clusterbpfapplicationstates.bpfman.io', 'bpfapplicationstates.bpfman.io');
  await limiter[Symbol.asyncDispose]();
});

test('a map of a program that bpfman has loaded, from when it says so', async () => {
  await space.apply(app('early', 'e2e-limiter'));
  await space.described('pod/early', /bpfman knows no ClusterBpfApplication limiter on node node-1/);
  await cluster.apply([state('limiter', 'node-1', [program('xdp_limit', limiter.programId)])]);
  await space.ready('early');
  await space.exec('early', 'map', 'write', '/maps/limits', '1', '10');
  await space.start(app('tagged', 'e2e-limiter-tag'));
  assert.equal(await space.read('tagged', '/maps/limits'), '1=10');
  await space.stop('early', 'tagged');
});

test("the same map, found by the kernel's names", async () => {
  await space.start(app('loaded', 'e2e-limiter-loaded'));
  await space.exec('loaded', 'map', 'write', '/maps/limits', '2', '20');
  assert.match(await space.read('loaded', '/maps/limits'), /2=20/);
  await space.stop('loaded');
});

test('an id that another program has is not taken for the one that was meant', async () => {
  await space.apply(app('other', 'e2e-limiter-other'));
  await space.described('pod/other', /no map "limits" of a program "xdp_limit" with id \d+ with tag 0123456789abcdef/);
  await space.stop('other');
});
