import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { end, type LocalNode } from '../../src/cli/local-node.ts';
import { Code } from '../../src/errors.ts';
import { VolumeCapability_AccessMode_Mode as Mode, VolumeHealthErrorType as Status } from '../../src/rpc/csi.ts';
import { asPod, claim, claimant, mapProgram, pod, withNode } from './node.ts';

const SHARED = { type: 'shared', newMaps: '- { name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 64 }' };
const WORKSPACE = { type: 'workspace' };
const BPFTOOL = 'clients/debian/bin/bpftool';
const LIBBPF_LOADER = 'clients/libbpf/bin/loader';

/** Copies a pod's programs to where uid 65534 reaches them. */
async function withPrograms(use: (node: LocalNode, programs: string) => Promise<void>): Promise<void> {
  await withNode(async (node, directory) => {
    await execa('cp', ['-r', 'test/clients', directory]);
    await execa('install', ['-m', '0755', mapProgram, join(directory, 'map')]);
    await use(node, directory);
  });
}

const kept = async ({ storeDirectory }: LocalNode) => await readdir(join(storeDirectory, 'volumes'));

async function mountsBeneath(directory: string): Promise<readonly string[]> {
  const table = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return table.map((line) => line.split(' ')[4] ?? '').filter((mount) => mount.startsWith(`${directory}/`));
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    assert.ok(tries < 1000, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('two pods share a volume: one writes, the other, readOnly, cannot', async () => {
  await withPrograms(async (node, programs) => {
    const { kubelet } = node;
    const volume = await claim(node, 'shared', SHARED);
    const [producer, consumer] = [claimant(volume), claimant(volume, { readOnly: true })];
    await kubelet.publish(producer);
    await kubelet.publish(consumer);
    const counts = (of: typeof producer) => join(kubelet.volumePath(of), 'counts');
    await asPod(join(programs, 'map'), ['write', counts(producer), '1', '42']);
    assert.equal((await asPod(join(programs, 'map'), ['read', counts(consumer)])).stdout, '1=42');
    await assert.rejects(asPod(join(programs, 'map'), ['write', counts(consumer), '1', '0']), { stderr: /EROFS/ });
    await kubelet.unpublish(producer);
    await kubelet.unpublish(consumer);

    // Pods and processes come and go; the volume's maps stay.
    await end(node.pinner(), 'SIGKILL');
    await end(node.nodePlugin(), 'SIGKILL');
    node.startPinner();
    node.startNodePlugin();
    await node.ready();
    const later = claimant(volume);
    await kubelet.publish(later);
    assert.equal((await asPod(join(programs, 'map'), ['read', counts(later)])).stdout, '1=42');

    const { usage } = await kubelet.stats(later);
    assert.equal(usage.find(({ unit }) => unit === 2)?.used, 1);
    await kubelet.unpublish(later);
  });
});

test('thirty pods of one claim begin at once, and end at once', async () => {
  await withNode(async (node) => {
    const volume = await claim(node, 'many', SHARED);
    const pods = Array.from({ length: 30 }, () => claimant(volume));
    await Promise.all(pods.map((each) => node.kubelet.publish(each)));
    await Promise.all(pods.map((each) => node.kubelet.unpublish(each)));
    assert.deepEqual(await mountsBeneath(join(node.kubeletDirectory, 'pods')), []);
  });
});

test('a volume is released when it is deleted, also by a node that was away, and no other is', async () => {
  await withNode(async (node) => {
    const [first, second, third] = [
      await claim(node, 'first', SHARED),
      await claim(node, 'second', WORKSPACE),
      await claim(node, 'third', SHARED),
    ];
    for (const volume of [first, second, third]) {
      const user = claimant(volume);
      await node.kubelet.publish(user);
      await node.kubelet.unpublish(user);
    }
    assert.deepEqual((await kept(node)).sort(), [first, second, third].map(({ volumeId }) => volumeId).sort());
    await node.provisioner.deleteVolume(first);
    await until('the first is released', async () => !(await kept(node)).includes(first.volumeId));

    await end(node.nodePlugin(), 'SIGTERM');
    await node.provisioner.deleteVolume(second);
    assert.ok((await kept(node)).includes(second.volumeId));
    node.startNodePlugin();
    await until('the second is released', async () => !(await kept(node)).includes(second.volumeId));
    assert.deepEqual(await kept(node), [third.volumeId]);
    assert.deepEqual(
      (await mountsBeneath(node.storeDirectory)).filter((mount) => mount.includes(second.volumeId)),
      [],
    );
  });
});

test('a volume made anew under a name of before does not have the maps of before', async () => {
  await withPrograms(async (node, programs) => {
    const { kubelet, provisioner } = node;
    const before = claimant(await claim(node, 'again', SHARED));
    await kubelet.publish(before);
    await asPod(join(programs, 'map'), ['write', join(kubelet.volumePath(before), 'counts'), '1', '1']);
    await kubelet.unpublish(before);
    assert.ok(before.persistentVolume);
    await provisioner.deleteVolume(before.persistentVolume);
    const after = claimant(await claim(node, 'again', SHARED));
    await kubelet.publish(after);
    assert.equal((await asPod(join(programs, 'map'), ['read', join(kubelet.volumePath(after), 'counts')])).stdout, '');
    await kubelet.unpublish(after);
  });
});

test('a loader finds the pins of its last life in its workspace, and hands one to another pod', async () => {
  await withPrograms(async (node, programs) => {
    const { kubelet } = node;
    const volume = await claim(node, 'workspace', WORKSPACE);
    const loader = claimant(volume, { fsGroup: 65534 });
    const reader = pod('agent');
    await assert.rejects(kubelet.publish(reader), { code: Code.UNAVAILABLE });
    await kubelet.publish(loader);
    const workspace = kubelet.volumePath(loader);
    assert.equal((await stat(workspace)).mode & 0o7777, 0o770);
    await assert.rejects(kubelet.publish(reader), { code: Code.UNAVAILABLE, message: /agent/ });

    const made = ['map', 'create', join(workspace, 'by_bpftool'), 'type', 'hash', 'key', '4', 'value', '8'];
    await asPod(join(programs, BPFTOOL), [...made, 'entries', '16', 'name', 'tool'], ['bpf']);
    assert.equal((await asPod(join(programs, LIBBPF_LOADER), [join(workspace, 'agent')], ['bpf'])).stdout, '1');
    await kubelet.unpublish(loader);

    const again = claimant(volume, { fsGroup: 65534 });
    await kubelet.publish(again);
    const pins = (await readdir(kubelet.volumePath(again))).filter((name) => !name.endsWith('.debug'));
    assert.deepEqual(pins.sort(), ['agent', 'by_bpftool']);
    assert.equal(
      (await asPod(join(programs, LIBBPF_LOADER), [join(kubelet.volumePath(again), 'agent')], ['bpf'])).stdout,
      '2',
    );

    await kubelet.publish(reader);
    const handed = join(kubelet.volumePath(reader), 'agent');
    const { stdout } = await asPod(join(programs, BPFTOOL), [
      '-j',
      'map',
      'lookup',
      'pinned',
      handed,
      'key',
      '0',
      '0',
      '0',
      '0',
    ]);
    assert.match(stdout, /"value":\["0x02"/);
    await assert.rejects(asPod(join(programs, 'map'), ['write', handed, '0', '0']), { stderr: /EROFS/ });

    const view = claimant(volume, { readOnly: true });
    await kubelet.publish(view);
    assert.deepEqual((await readdir(kubelet.volumePath(view))).filter((name) => !name.endsWith('.debug')).sort(), [
      'agent',
      'by_bpftool',
    ]);
    await assert.rejects(
      asPod(join(programs, 'map'), ['write', join(kubelet.volumePath(view), 'by_bpftool'), '0', '0']),
      {
        stderr: /EROFS/,
      },
    );
    await asPod(join(programs, LIBBPF_LOADER), [join(kubelet.volumePath(again), 'later')], ['bpf']);
    await kubelet.publish(view);
    assert.ok((await readdir(kubelet.volumePath(view))).includes('later'), 'the view is renewed');
    for (const one of [view, reader, again]) await kubelet.unpublish(one);
    assert.deepEqual(await mountsBeneath(node.kubeletDirectory), []);
  });
});

test('a pod never has a workspace and a read-only map, in either order', async () => {
  await withNode(async (node) => {
    const { kubelet } = node;
    const workspace = await claim(node, 'workspace', WORKSPACE);
    const shared = await claim(node, 'shared', SHARED);
    const refused = { code: Code.FAILED_PRECONDITION, message: /workspace/ };
    for (const [what, other, allowed] of [
      ['read-only map', pod('flows'), false],
      ['shared volume, readOnly', claimant(shared, { volumeName: 'shared', readOnly: true }), false],
      ['writable map', pod('limits:rw'), true],
      ['shared volume', claimant(shared, { volumeName: 'shared' }), true],
    ] as const) {
      const loader = claimant(workspace, { name: other.name });
      for (const [first, second] of [
        [loader, other],
        [other, loader],
      ] as const) {
        await kubelet.publish(first);
        if (allowed) await kubelet.publish(second);
        else await assert.rejects(kubelet.publish(second), refused, what);
        await kubelet.publish(first);
        for (const one of [first, second]) await kubelet.unpublish(one);
      }
    }
  });
});

test('access modes mean what they say when a volume is published a second time', async () => {
  await withNode(async (node) => {
    const { kubelet } = node;
    const volume = await claim(node, 'modes', SHARED);
    const [first, second] = [claimant(volume), claimant(volume)];
    for (const [mode, again] of [
      [Mode.SINGLE_NODE_MULTI_WRITER, 'allowed'],
      [Mode.SINGLE_NODE_SINGLE_WRITER, 'refused'],
      [Mode.SINGLE_NODE_WRITER, 'refused'],
    ] as const) {
      const publish = (one: typeof first) =>
        kubelet.publish(one, ({ volumeCapability }) => Object.assign(volumeCapability ?? {}, { accessMode: { mode } }));
      await publish(first);
      await publish(first);
      if (again === 'allowed') await publish(second);
      else await assert.rejects(publish(second), { code: Code.FAILED_PRECONDITION });
      await assert.rejects(
        kubelet.publish(first, (request) => Object.assign(request, { readonly: true })),
        { code: Code.ALREADY_EXISTS },
      );
      for (const one of [first, second]) await kubelet.unpublish(one);
    }
  });
});

test('the health of a volume follows its source', async () => {
  await withNode(async ({ kubelet, pins }) => {
    const consumer = pod('flows');
    await kubelet.publish(consumer);
    const reasons = async () =>
      (await kubelet.health(consumer)).volumeHealth?.healthStatuses.map(({ status, reason }) => [status, reason]);
    assert.deepEqual(await reasons(), []);
    await execa('rm', [join(pins, 'flows')]);
    assert.deepEqual(await reasons(), [[Status.DEGRADED, 'MapSourceMissing']]);
    await execa(mapProgram, ['create', join(pins, 'flows')]);
    assert.deepEqual(await reasons(), [[Status.DEGRADED, 'MapReplaced']]);
    await kubelet.publish(consumer);
    // The volume has the newest map; a container that started earlier may still see the old one.
    assert.deepEqual(await reasons(), [[Status.DEGRADED, 'MapReplaced']]);
    await kubelet.unpublish(consumer);
    await assert.rejects(kubelet.health(consumer), { code: Code.NOT_FOUND });
    await kubelet.publish(consumer);
    assert.deepEqual(await reasons(), []);
    await kubelet.unpublish(consumer);
  });
});
