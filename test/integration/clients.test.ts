import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { asPod, pod, withNode } from './node.ts';

const CLIENTS = {
  'cilium/ebpf': 'test/clients/cilium/bin/cilium',
  libbpf: 'test/clients/libbpf/bin/reader',
  bpftool: 'test/clients/debian/bpftool.sh',
  aya: 'test/clients/aya/target/release/aya-client',
};

test('the clients that people use read and write a volume as uid 65534', async (t) => {
  await withNode(async ({ kubelet, storeDirectory }, directory) => {
    const consumer = pod('flows, limits:rw');
    await kubelet.publish(consumer);
    const volume = kubelet.volumePath(consumer);
    // uid 65534 may not be able to reach this clone.
    await execa('cp', ['-r', 'test/clients', directory]);
    for (const [index, [name, path]] of Object.entries(CLIENTS).entries()) {
      const client = join(directory, path.replace(/^test\//, ''));
      const key = `${index + 10}000000`.slice(0, 8);
      await t.test(name, async () => {
        const read = await asPod(client, ['--update', '01000000=0900000000000000', '--expect-denied', volume, 'flows']);
        assert.equal(read.stdout, '01000000 6400000000000000');
        const looked = await asPod(client, ['--lookup', '01000000', volume, 'flows']);
        assert.equal(looked.stdout, read.stdout);
        const written = await asPod(client, ['--update', `${key}=0700000000000000`, volume, 'limits']);
        assert.ok(written.stdout.split('\n').includes(`${key} 0700000000000000`), written.stdout);
      });
    }
    const { stdout } = await execa(join(directory, 'clients/cilium/bin/cilium'), [
      join(storeDirectory, 'created'),
      'limits',
    ]);
    assert.equal(
      stdout.split('\n').length,
      Object.keys(CLIENTS).length,
      'each client wrote one element of the shared map',
    );
    await kubelet.unpublish(consumer);
  });
});
