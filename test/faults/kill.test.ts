import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { execa } from 'execa';
import type { Pod } from '../../src/cli/kubelet.ts';
import { end, type LocalNode } from '../../src/cli/local-node.ts';
import { CallError, Code } from '../../src/errors.ts';
import { mapProgram, pod, withNode } from '../integration/node.ts';

const PAIRS = Number(process.env.FAULT_PAIRS ?? 10_000);
const RESTARTS = Number(process.env.FAULT_RESTARTS ?? 200);
const CALLERS = 8;
/** What a kubelet repeats; any other answer to a valid request is a defect. */
const REPEATED: readonly Code[] = [Code.UNAVAILABLE, Code.ABORTED, Code.CANCELLED, Code.DEADLINE_EXCEEDED];
const COMPLETE = ['flows', 'limits'];
const DEBUG_FILES = ['maps.debug', 'progs.debug'];

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Everything of which nothing may stay. */
async function inventory(node: LocalNode, directory: string) {
  const lines = (text: string) => text.trimEnd().split('\n');
  const descriptors = async (process: ChildProcess) => (await readdir(`/proc/${process.pid}/fd`)).length;
  return {
    mounts: lines(await readFile('/proc/self/mountinfo', 'utf8')).length,
    maps: (await execa(mapProgram, ['count'])).stdout,
    pins: [...(await readdir(node.pins)), ...(await readdir(join(directory, 'store')))].sort(),
    directories: lines((await execa('find', [node.kubeletDirectory, '-name', 'mount'])).stdout),
    pinnerDescriptors: await descriptors(node.pinner()),
    nodePluginDescriptors: await descriptors(node.nodePlugin()),
  };
}

/** Repeats a call as the kubelet does until it succeeds; gives how often it had to be repeated. */
async function insist(call: () => Promise<void>): Promise<number> {
  for (let repeats = 0; ; repeats++) {
    try {
      await call();
      return repeats;
    } catch (error) {
      const { code, message } = CallError.from(error);
      assert.ok(REPEATED.includes(code), `${Code[code]}: ${message}`);
      await pause(5);
    }
  }
}

/** What the pod's directory shows; undefined when there is none. */
async function shown(node: LocalNode, of: Pod): Promise<readonly string[] | undefined> {
  const names = await readdir(node.kubelet.volumePath(of)).catch(() => undefined);
  return names?.filter((name) => !DEBUG_FILES.includes(name)).sort();
}

/** Kills a process at random moments and starts it again at once. */
async function keepKilling(process: () => ChildProcess, start: () => void): Promise<void> {
  for (let restart = 0; restart < RESTARTS; restart++) {
    await pause(Math.random() * 250);
    await end(process(), 'SIGKILL');
    start();
  }
}

test(`${PAIRS} publishes and ${RESTARTS} kills of each process leave nothing, and nothing is ever half there`, async () => {
  await withNode(async (node, directory) => {
    const pods = Array.from({ length: CALLERS }, () => pod('flows, limits:rw'));
    // Once through, so that what is made once is there: the store's map, the pods' directories, the connections.
    for (const one of pods) {
      await node.kubelet.publish(one);
      await node.kubelet.unpublish(one);
    }
    const before = await inventory(node, directory);
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
      keepKilling(node.pinner, node.startPinner),
      keepKilling(node.nodePlugin, node.startNodePlugin),
    ]).finally(() => {
      isKilling = false;
    });
    const published = pods.map(async (one) => {
      while (pairs < PAIRS || isKilling) {
        pairs += 1;
        repeats += await insist(() => node.kubelet.publish(one));
        assert.deepEqual(await shown(node, one), COMPLETE);
        repeats += await insist(() => node.kubelet.unpublish(one));
        assert.equal(await shown(node, one), undefined);
      }
    });
    await Promise.all([killed, ...published]);
    observer.postMessage('stop');
    const { absent, complete, other } = await observed;

    await node.ready();
    await node.kubelet.publish(pods[0] as Pod);
    await node.kubelet.unpublish(pods[0] as Pod);
    // The kernel frees maps a little after their last user has gone.
    for (let tries = 0; tries < 50; tries++) {
      if ((await inventory(node, directory)).maps === before.maps) break;
      await pause(100);
    }
    assert.deepEqual(await inventory(node, directory), before);
    assert.deepEqual(other, [], 'seen at a target');
    assert.ok(complete > 100 && absent > 100, `the observer saw ${complete} complete and ${absent} absent volumes`);
    assert.ok(repeats > 0, 'no call was hit by a kill');
    process.stdout.write(`${pairs} pairs, ${repeats} repeated calls, ${complete + absent} looks at a target\n`);
  });
});
