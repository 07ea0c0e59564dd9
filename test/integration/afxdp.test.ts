import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { execa, type ResultPromise } from 'execa';
import { claim, claimant, unprivileged, withNode } from './node.ts';

/** Waits until a program prints a line; throws its output if it ends before. */
async function says(program: ResultPromise, wanted: string): Promise<void> {
  assert.ok(program.stdout);
  const lines = createInterface({ input: program.stdout });
  const line = await Promise.race([
    once(lines, 'line').then(([line]) => String(line)),
    program.then(({ stdout }) => stdout),
  ]);
  assert.equal(line, wanted);
}

test('packets reach an AF_XDP socket through the xskmap of a shared volume, with nothing but CAP_NET_RAW', async () => {
  await withNode(async (node, directory) => {
    const { kubelet } = node;
    await execa('cp', ['-r', 'test/clients/afxdp/bin', directory]);
    const volume = await claim(node, 'sockets', {
      type: 'shared',
      newMaps: '- { name: xsks, type: xskmap, maxEntries: 4 }',
    });
    const [owner, loader] = [claimant(volume), claimant(volume, { readOnly: true })];
    await kubelet.publish(owner);
    await kubelet.publish(loader);

    // Visible only in the tests' mount namespace.
    await mkdir('/run/netns', { recursive: true });
    await execa('mount', ['-t', 'tmpfs', 'netns', '/run/netns']);
    const [receiver, sender] = ['receiver', 'sender'];
    const ip = (...args: string[]) => execa('ip', args);
    const inNamespace = (name: string) => `--net=/run/netns/${name}`;
    try {
      for (const name of [receiver, sender]) await ip('netns', 'add', name);
      await ip('-n', receiver, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1', 'netns', sender);
      await ip('-n', receiver, 'address', 'add', '192.0.2.1/24', 'dev', 'veth0');
      await ip('-n', sender, 'address', 'add', '192.0.2.2/24', 'dev', 'veth1');
      await ip('-n', receiver, 'link', 'set', 'veth0', 'up', 'address', '02:00:00:00:00:01');
      await ip('-n', sender, 'link', 'set', 'veth1', 'up');
      // ARP would be redirected too.
      await ip('-n', sender, 'neighbour', 'add', '192.0.2.1', 'lladdr', '02:00:00:00:00:01', 'dev', 'veth1');

      const onVeth = (pod: typeof owner) => ['-map', join(kubelet.volumePath(pod), 'xsks'), '-interface', 'veth0'];
      // The program that redirects only looks the map up, for which read-only is enough. As in a container, it sees no other
      // pod's volume.
      const hidden = `umount --lazy '${kubelet.volumePath(owner)}' && exec "$@"`;
      const attach = execa('nsenter', [
        ...[inNamespace(receiver), 'unshare', '--mount', 'sh', '-c', hidden, 'sh'],
        ...[join(directory, 'bin/attach'), ...onVeth(loader)],
      ]);
      await says(attach, 'attached');
      const client = execa('nsenter', [
        inNamespace(receiver),
        ...unprivileged(['net_raw']),
        ...[join(directory, 'bin/afxdp'), ...onVeth(owner), '-queue', '0', '-count', '2'],
      ]);
      await says(client, 'ready');
      for (const word of ['hello', 'again']) {
        await execa('nsenter', [inNamespace(sender), 'bash', '-c', `echo ${word} >/dev/udp/192.0.2.1/7000`]);
      }
      const { stdout } = await client;
      assert.deepEqual(stdout.split('\n'), ['ready', 'udp 7000 hello', 'udp 7000 again']);
      attach.kill('SIGTERM');
      await attach;
    } finally {
      for (const name of [receiver, sender]) await execa('ip', ['netns', 'delete', name], { reject: false });
      await execa('umount', ['/run/netns']);
    }
    for (const one of [owner, loader]) await kubelet.unpublish(one);
  });
});
