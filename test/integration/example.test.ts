import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { execa } from 'execa';
import type { Pod } from '../../src/cli/kubelet.ts';
import { asPod, claim, claimant, withNode } from './node.ts';

// The well-known example of map pinning (test/clients/example): two programs that only know a directory.
const DIRECTORY = '/var/run/example/map';
const NEW_MAPS = '- { name: example_map, type: array, keySize: 4, valueSize: 8, maxEntries: 1 }';

const CASES = [
  ['a workspace, with CAP_BPF for the loader', { type: 'workspace' }, ['bpf']],
  ['a shared volume, without CAP_BPF', { type: 'shared', newMaps: NEW_MAPS }, []],
] as const;

for (const [what, parameters, capabilities] of CASES) {
  test(`the pinning example works through ${what}`, async () => {
    await withNode(async (node, directory) => {
      const { kubelet } = node;
      await execa('cp', ['-r', 'test/clients/example/bin', directory]);
      await mkdir(DIRECTORY, { recursive: true });
      after(() => rm('/var/run/example', { recursive: true, force: true }));
      /** Runs a program with the pod's volume bound to the path it expects, as a container runtime would. */
      const inContainer = async (pod: Pod, run: () => ReturnType<typeof asPod>) => {
        await execa('mount', ['--rbind', kubelet.volumePath(pod), DIRECTORY]);
        try {
          return (await run()).stdout;
        } finally {
          await execa('umount', ['--lazy', DIRECTORY]);
        }
      };
      const load = () => asPod(join(directory, 'bin/loader'), ['-once'], capabilities);
      const consume = () => asPod(join(directory, 'bin/consumer'), []);

      const volume = await claim(node, 'example', parameters);
      const [loader, consumer] = [claimant(volume), claimant(volume, { readOnly: true })];
      await kubelet.publish(loader);
      assert.equal(await inContainer(loader, load), '0 1');
      await kubelet.publish(consumer);
      assert.equal(await inContainer(consumer, consume), '0 1');
      await assert.rejects(inContainer(consumer, load), 'the consumer only reads');
      assert.equal(await inContainer(loader, load), '0 2');
      assert.equal(await inContainer(consumer, consume), '0 2');
      for (const one of [loader, consumer]) await kubelet.unpublish(one);
    });
  });
}
