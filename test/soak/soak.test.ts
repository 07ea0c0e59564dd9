// Everything at once, for as long as is asked: pods of all kinds come and go, sources are replaced, grants withdrawn, neighbours and
// the pinner's peer attack, in the end processes are killed too. After each round all pods end, and nothing may be left.
//
//   SOAK_MINUTES=120 SOAK_SEED=7 make soak
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { end as endProcess, type LocalNode } from '../../src/cli/local-node.ts';
import { type Inventory, settledInventory, takeInventory } from '../faults/inventory.ts';
import { mapProgram, withNode } from '../integration/node.ts';
import { growth, median, type Sample, slope } from './flat.ts';
import { attackAsPeer, attackAsPod } from './hostile.ts';
import { type Actor, act, createActors, end, replaceSources, residentKibibytes, restoreAgent } from './pods.ts';
import { createRandom, type Random } from './random.ts';

const MINUTES = Number(process.env.SOAK_MINUTES ?? 10);
const SEED = Number(process.env.SOAK_SEED ?? Date.now() % 2 ** 32);
const CALLS_A_ROUND = 600;
/** Enough samples to tell a leak from caches that fill. */
const MIN_ROUNDS = 9;
/** After this share of the time processes are killed, and their memory no longer says anything. */
const CALM = 0.75;
/** A process leaks if what it holds at least grows by more than this factor between two thirds of the calm rounds. */
const MAX_GROWTH = 1.1;
const MAX_PINNER_KIBIBYTES = 8 * 1024;

/** Maps that are created with the first volume that has them, and stay. */
const MADE_ONCE = ['limits', 'counts', 'agent'];

/** Withdraws the right to write `limits`, or grants it again. */
async function changeGrants(node: LocalNode, grants: string, isGranted: boolean): Promise<void> {
  await writeFile(node.grantsFile, isGranted ? grants : grants.replace('verbs: [read, write]', 'verbs: [read]'));
}

/** Calls from all pods concurrently, together with everything that disturbs them. */
async function round(node: LocalNode, actors: readonly Actor[], random: Random, isKilling: boolean): Promise<void> {
  const grants = await readFile(node.grantsFile, 'utf8');
  let left = CALLS_A_ROUND;
  const disturb = async () => {
    while (left > 0) {
      const what = random.next();
      const victim = random.pick(actors);
      if (what < 0.25) await replaceSources(node, actors);
      else if (what < 0.4) await changeGrants(node, grants, random.chance(0.5));
      else if (what < 0.7) await attackAsPeer(node, random);
      else if (what < 0.95 || !isKilling) await attackAsPod(node, victim, random);
      else if (random.chance(0.5)) {
        await endProcess(node.pinner(), 'SIGKILL');
        node.startPinner();
      } else {
        await endProcess(node.nodePlugin(), 'SIGKILL');
        node.startNodePlugin();
      }
    }
  };
  // Each pod's own calls come one after another, as the kubelet makes them.
  const live = async (actor: Actor) => {
    while (left > 0) {
      left -= 1;
      await act(node, actor, random);
    }
  };
  await Promise.all([disturb(), ...actors.map(live)]);
  await changeGrants(node, grants, true);
  await node.ready();
  await Promise.all(actors.map((actor) => end(node.kubelet, actor)));
  await replaceSources(node, actors);
  await restoreAgent(node, actors);
}

async function sample(node: LocalNode, calls: number): Promise<Sample> {
  return {
    calls,
    pinnerKibibytes: await residentKibibytes(node.pinner().pid),
    nodePluginKibibytes: await residentKibibytes(node.nodePlugin().pid),
  };
}

/**
 * The state after all pods have ended. Idle connections may take a while to close. The number of maps is that of the whole machine, so
 * only the end tells whether one of them is ours: it is returned.
 */
async function atRest(node: LocalNode, before: Inventory): Promise<number> {
  await node.ready();
  const { pinnerDescriptors, nodePluginDescriptors, maps, ...rest } = await takeInventory(node);
  const { pinnerDescriptors: pinnerBefore, nodePluginDescriptors: nodePluginBefore, maps: _, ...restBefore } = before;
  assert.deepEqual(rest, restBefore);
  const read = await execa(mapProgram, ['read', join(node.pins, 'flows')]);
  assert.equal(read.stdout, '1=100', 'nobody wrote the map that all may only read');
  for (const [what, is, was] of [
    ['pinner', pinnerDescriptors, pinnerBefore],
    ['node plugin', nodePluginDescriptors, nodePluginBefore],
  ] as const) {
    assert.ok(is <= was + 4, `the ${what} has ${is} descriptors, and had ${was}`);
  }
  return Number(maps);
}

/** After all rounds no map may be left that was not there before; `counts`: how many there were after each round. */
async function noMapStays(node: LocalNode, before: Inventory, counts: readonly number[]): Promise<void> {
  try {
    await settledInventory(node, before.maps);
  } catch (error) {
    const changes = counts.flatMap((count, round) =>
      count === counts[round - 1] ? [] : [`${count} after round ${round}`],
    );
    throw new Error(`${before.maps} maps at first, ${changes.slice(-100).join(', ')}`, { cause: error });
  }
}

test(`${MINUTES} minutes of everything at once leave nothing, and let nothing grow`, async () => {
  process.stdout.write(`seed ${SEED}\n`);
  await withNode(async (node) => {
    const random = createRandom(SEED);
    const actors = await createActors(node);
    const mapsAtStart = Number((await execa(mapProgram, ['count'])).stdout);
    // One pass first, so that what is created only once exists: claims' maps, pods' directories, connections.
    await round(node, actors, random, false);
    const before = await settledInventory(node, `${mapsAtStart + MADE_ONCE.length}`);
    const started = performance.now();
    const spent = () => (performance.now() - started) / (MINUTES * 60_000);
    const samples: Sample[] = [];
    const mapCounts: number[] = [];
    let rounds = 0;
    for (; rounds < MIN_ROUNDS || spent() < 1; rounds++) {
      const isKilling = rounds >= MIN_ROUNDS && spent() > CALM;
      await round(node, actors, random, isKilling);
      mapCounts.push(await atRest(node, before));
      if (!isKilling) samples.push(await sample(node, (rounds + 1) * CALLS_A_ROUND));
    }
    await noMapStays(node, before, mapCounts);
    for (const [name, key] of [
      ['pinner', 'pinnerKibibytes'],
      ['node plugin', 'nodePluginKibibytes'],
    ] as const) {
      const values = samples.map((one) => one[key]);
      const perThousand = slope(samples.map((one) => [one.calls / 1000, one[key]]));
      process.stdout.write(
        `${name}: ${values[0]} to ${values.at(-1)} KiB, ${perThousand.toFixed(1)} KiB for each 1,000 calls\n`,
      );
      assert.ok(growth(values) <= MAX_GROWTH, `the ${name} grows: ${values.join(', ')} KiB`);
    }
    // How much of an attack's memory the allocator still holds at the end of a round is chance.
    const usual = median(samples.map(({ pinnerKibibytes }) => pinnerKibibytes));
    assert.ok(usual <= MAX_PINNER_KIBIBYTES, `the pinner takes ${usual} KiB`);
    process.stdout.write(
      `${rounds} rounds, ${rounds * CALLS_A_ROUND} calls, of them ${samples.length} rounds without kills\n`,
    );
  });
});
