import { after, before, test } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { nodeMaps } from './node-maps.ts';
import { nodeState, nothingMore } from './node-state.ts';
import { account, mapRole, pinnedMap, roleBinding, serviceAccount } from './objects.ts';
import { inline, pod } from './pods.ts';
import { cluster } from './running.ts';
import { useSpace } from './space.ts';

const maps = nodeMaps(cluster);
const space = useSpace();

const FLOWS = 'e2e-scale-flows';
const LIMITS = 'e2e-scale-limits';
const PODS = 100;

before(async () => {
  for (const name of ['flows', 'limits']) await maps.create(`scale/${name}`);
  await space.apply(
    pinnedMap(FLOWS, 'scale/flows'),
    pinnedMap(LIMITS, 'scale/limits', { maxAccess: 'ReadWrite' }),
    serviceAccount('app'),
    mapRole(`${space.name}-app`, { read: [FLOWS], write: [LIMITS] }),
    roleBinding('app', `${space.name}-app`, account(space.name, 'app')),
  );
});
after(() => maps.remove('scale'));

/** Seconds from the creation of the first pod until all run, and until all are gone. */
async function time(
  prefix: string,
  volume: object,
  command: (index: number) => string,
  whenUp?: () => Promise<void>,
): Promise<{ readonly up: number; readonly down: number }> {
  const pods = Array.from({ length: PODS }, (_, index) => {
    const container = { command: ['sh', '-euc', `${command(index)}; exec sleep infinity`] };
    return pod(`${prefix}-${index}`, { serviceAccount: 'app', volume, container });
  });
  const started = performance.now();
  await space.apply(...pods);
  await eventually('all run', 600, async () => {
    const phases = await space.kubectl('get', 'pods', '--output=jsonpath={.items[*].status.phase}');
    return phases.split(' ').filter((phase) => phase === 'Running').length === PODS;
  });
  const up = (performance.now() - started) / 1000;
  await whenUp?.();
  const ended = performance.now();
  await space.stop('--all');
  return { up, down: (performance.now() - ended) / 1000 };
}

test(`${PODS} pods with two maps each start at once`, async (context) => {
  const before = await nodeState(cluster);
  const plain = await time('plain', { emptyDir: {} }, () => 'ls /maps');
  const use = (index: number) => `map read /maps/${FLOWS}; map write /maps/${LIMITS} ${index} 1`;
  const mapped = await time('mapped', inline({ maps: `${FLOWS}, ${LIMITS}:rw` }), use, async () => {
    const all = Array.from({ length: PODS }, (_, index) => `${index}=1`).join(' ');
    await eventually('each has used its maps', 60, async () => (await maps.read('scale/limits')) === all);
  });
  const after = await nothingMore(cluster, { ...before, descriptors: {} });
  const row = (what: string, { up, down }: typeof plain) =>
    `${what}: up in ${up.toFixed(1)} s, gone in ${down.toFixed(1)} s`;
  context.diagnostic(`${PODS} pods with ${row('an emptyDir', plain)}`);
  context.diagnostic(`${PODS} pods with ${row('two maps', mapped)}`);
  context.diagnostic(
    `resident KiB before ${JSON.stringify(before.memoryKib)}, after ${JSON.stringify(after.memoryKib)}`,
  );
});
