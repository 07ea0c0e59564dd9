import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Pod } from '../../src/cli/kubelet.ts';
import type { LocalNode } from '../../src/cli/local-node.ts';
import { pod, withNode } from '../integration/node.ts';
import { insist, keepKilling } from './insist.ts';
import { pinnerAtRest, settledInventory, takeInventory } from './inventory.ts';

const PAIRS = Number(process.env.FAULT_PAIRS ?? 10_000);
const RESTARTS = Number(process.env.FAULT_RESTARTS ?? 200);
const CALLERS = 8;
const COMPLETE = ['flows', 'limits'];
const DEBUG_FILES = ['maps.debug', 'progs.debug'];

/** The files in the pod's volume; undefined if there is none. */
async function shown(node: LocalNode, of: Pod): Promise<readonly string[] | undefined> {
  const names = await readdir(node.kubelet.volumePath(of)).catch(() => undefined);
  return names?.filter((name) => !DEBUG_FILES.includes(name)).sort();
}

test(`${PAIRS} publishes and ${RESTARTS} kills of each process leave nothing, and nothing is ever half there`, async () => {
  await withNode(async (node) => {
    const pods = Array.from({ length: CALLERS }, () => pod('flows, limits:rw'));
    // One pass first, so that what is created only once exists: the store's map, the pods' directories, the connections.
    for (const one of pods) {
      await node.kubelet.publish(one);
      await node.kubelet.unpublish(one);
    }
    await pinnerAtRest(node);
    const before = await takeInventory(node);
    const observer = new Worker(new URL('./observer.ts', import.meta.url), {
      workerData: { targets: pods.map(node.kubelet.volumePath), complete: COMPLETE, ignored: DEBUG_FILES },
    });
    const observed = new Promise<{ absent: number; complete: number; other: string[] }>((resolve, reject) => {
      observer.once('message', resolve);
      observer.once('error', reject);
    });

    let pairs = 0;
    let repeats = 0;
    let isKilling = true;
    const killed = Promise.all([
      keepKilling(RESTARTS, node.pinner, node.startPinner),
      keepKilling(RESTARTS, node.nodePlugin, node.startNodePlugin),
    ]).finally(() => {
      isKilling = false;
    });
    const published = pods.map(async (one) => {
      while (pairs < PAIRS || isKilling) {
        pairs += 1;
        repeats += (await insist(() => node.kubelet.publish(one))).repeats;
        assert.deepEqual(await shown(node, one), COMPLETE);
        repeats += (await insist(() => node.kubelet.unpublish(one))).repeats;
        assert.equal(await shown(node, one), undefined);
      }
    });
    await Promise.all([killed, ...published]);
    observer.postMessage('stop');
    const { absent, complete, other } = await observed;

    await node.ready();
    await node.kubelet.publish(pods[0] as Pod);
    await node.kubelet.unpublish(pods[0] as Pod);
    await pinnerAtRest(node);
    assert.deepEqual(await settledInventory(node, before.maps), before);
    assert.deepEqual(other, [], 'seen at a target');
    assert.ok(complete > 100 && absent > 100, `the observer saw ${complete} complete and ${absent} absent volumes`);
    assert.ok(repeats > 0, 'no call was hit by a kill');
    process.stdout.write(`${pairs} pairs, ${repeats} repeated calls, ${complete + absent} looks at a target\n`);
  });
});
