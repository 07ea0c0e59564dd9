import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { Code } from '../../src/errors.ts';
import { mapProgram, pod, withNode } from './node.ts';

const DEBUG_FILES = new Set(['maps.debug', 'progs.debug']);
const names = async (directory: string) => (await readdir(directory)).filter((name) => !DEBUG_FILES.has(name)).sort();

test('a pod has its maps, and no others, with the access it was granted', async () => {
  await withNode(async ({ kubelet, pins }) => {
    const [reader, writer] = [pod('flows'), pod('flows, limits:rw', { fsGroup: 2000 })];
    await kubelet.publish(reader);
    await kubelet.publish(writer);
    assert.deepEqual(await names(kubelet.volumePath(reader)), ['flows']);
    assert.deepEqual(await names(kubelet.volumePath(writer)), ['flows', 'limits']);

    const mine = await stat(join(kubelet.volumePath(writer), 'limits'));
    assert.deepEqual([mine.gid, mine.mode & 0o777], [2000, 0o660]);
    const flows = join(kubelet.volumePath(reader), 'flows');
    await execa(mapProgram, ['write', join(pins, 'flows'), '2', '200']);
    const { stdout } = await execa(mapProgram, ['read', flows], { uid: 65534, gid: 65534 });
    assert.deepEqual(stdout.split('\n').sort(), ['1=100', '2=200']);
    await assert.rejects(execa(mapProgram, ['write', flows, '1', '0'], { uid: 65534, gid: 65534 }), {
      stderr: /EROFS/,
    });

    const { usage } = await kubelet.stats(writer);
    const inodes = usage.find(({ unit }) => unit === 2);
    const bytes = usage.find(({ unit }) => unit === 1);
    assert.equal(inodes?.used, 2);
    assert.ok((bytes?.used ?? 0) > 0);
    await kubelet.unpublish(reader);
    await kubelet.unpublish(writer);
    assert.doesNotMatch(await readFile('/proc/self/mountinfo', 'utf8'), /csi-bpffs:/);
  });
});

test('a volume for a pod with a user namespace is a tmpfs that carries the pins', async () => {
  await withNode(async ({ kubelet }) => {
    const carried = pod('', { volumeAttributes: { maps: 'flows, limits:rw', hostUsers: 'false' } });
    await kubelet.publish(carried);
    const volume = kubelet.volumePath(carried);
    const { stdout } = await execa('stat', ['--file-system', '--format=%T', volume]);
    assert.equal(stdout, 'tmpfs');
    assert.deepEqual(await readdir(volume), ['flows', 'limits']);
    await execa(mapProgram, ['write', join(volume, 'limits'), '1', '1'], { uid: 165536, gid: 165536 });
    await assert.rejects(execa(mapProgram, ['write', join(volume, 'flows'), '1', '1']), { stderr: /EROFS/ });
    await kubelet.unpublish(carried);
  });
});

test('a changed catalog is used without a restart, a bad one is not', async () => {
  await withNode(async ({ kubelet, catalogFile }, directory) => {
    const log = async () => readFile(join(directory, 'node-plugin.log'), 'utf8');
    const until = async (condition: () => Promise<boolean>) => {
      for (let tries = 0; !(await condition()); tries++) {
        assert.ok(tries < 500, 'nothing happened within ten seconds');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const before = await readFile(catalogFile, 'utf8');
    await writeFile(catalogFile, 'kind: BpfMap\n');
    await until(async () => (await log()).includes('stays in use'));
    assert.match(await log(), /catalog\.yaml:1/);
    const consumer = pod('flows');
    await kubelet.publish(consumer);
    await kubelet.unpublish(consumer);

    await writeFile(catalogFile, before.replaceAll('name: flows', 'name: renamed'));
    await until(async () => (await log()).includes('new catalog in use'));
    await assert.rejects(kubelet.publish(pod('flows')), { code: Code.NOT_FOUND });
  });
});
