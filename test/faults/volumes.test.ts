import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import type { LocalNode } from '../../src/cli/local-node.ts';
import { claim, claimant, mapProgram, withNode } from '../integration/node.ts';
import { insist, keepKilling, pause } from './insist.ts';

const VOLUMES = Number(process.env.FAULT_VOLUMES ?? 1000);
const RESTARTS = Number(process.env.FAULT_VOLUME_RESTARTS ?? 50);
const CALLERS = 8;

const CLASSES: readonly Readonly<Record<string, string>>[] = [
  { type: 'shared', newMaps: '- { name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 64 }' },
  { type: 'workspace' },
];

const kept = async ({ storeDirectory }: LocalNode) =>
  await readdir(join(storeDirectory, 'volumes')).catch((): string[] => []);

const countMaps = async () => Number((await execa(mapProgram, ['count'])).stdout);

/** The contents of the volume store and the kernel; both must be empty in the end. */
async function remains(node: LocalNode) {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return {
    volumes: await readdir(node.volumesDirectory),
    kept: await kept(node),
    mounts: mounts.filter((line) => line.includes('csi-bpffs:')),
    targets: (await execa('find', [node.kubeletDirectory, '-name', 'mount'])).stdout,
  };
}

test(`${VOLUMES} persistent volumes live and die while controller and node plugin are killed ${RESTARTS} times`, async () => {
  await withNode(async (node) => {
    let next = 0;
    let repeats = 0;
    const take = () => (next < VOLUMES ? next++ : undefined);
    const count = async <T>(call: () => Promise<T>): Promise<T> => {
      const outcome = await insist(call);
      repeats += outcome.repeats;
      return outcome.result;
    };

    async function live(index: number): Promise<void> {
      const parameters = CLASSES[index % CLASSES.length] ?? {};
      const create = () => claim(node, `claim-${index}`, parameters);
      const volume = await count(create);
      assert.deepEqual(await count(create), volume, 'created twice, it is one volume');
      const writer = claimant(volume, { name: `writer-${index}` });
      await count(() => node.kubelet.publish(writer));
      const isShared = parameters.type === 'shared';
      const counts = join(node.kubelet.volumePath(writer), 'counts');
      await execa(mapProgram, isShared ? ['write', counts, '1', String(index)] : ['create', counts]);
      await count(() => node.kubelet.unpublish(writer));
      assert.ok((await kept(node)).includes(volume.volumeId), 'a living volume is kept');

      const reader = claimant(volume, { name: `reader-${index}`, readOnly: true });
      await count(() => node.kubelet.publish(reader));
      const { stdout } = await execa(mapProgram, ['read', join(node.kubelet.volumePath(reader), 'counts')]);
      assert.equal(stdout, isShared ? `1=${index}` : '', 'nothing is lost between two pods');
      await count(() => node.kubelet.unpublish(reader));
      await count(() => node.provisioner.deleteVolume(volume));
    }

    const mapsBefore = await countMaps();
    await Promise.all([
      keepKilling(RESTARTS, node.controller, node.startController),
      keepKilling(RESTARTS, node.nodePlugin, node.startNodePlugin),
      ...Array.from({ length: CALLERS }, async () => {
        for (let index = take(); index !== undefined; index = take()) await live(index);
      }),
    ]);
    await node.ready();
    // What is kept of deleted volumes is released within seconds, and the kernel frees the maps a little later.
    const nothing = { volumes: ['.volumes'], kept: [], mounts: [], targets: '' };
    const isDone = async () => (await kept(node)).length === 0 && (await countMaps()) <= mapsBefore;
    for (let tries = 0; tries < 300 && !(await isDone()); tries++) await pause(100);
    assert.deepEqual(await remains(node), nothing);
    assert.ok((await countMaps()) <= mapsBefore, 'no map is left in the kernel');
    assert.ok(repeats > 0, 'no call was hit by a kill');
    process.stdout.write(`${VOLUMES} volumes, ${repeats} repeated calls\n`);
  });
});
