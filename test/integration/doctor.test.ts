import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { kubeletDirCheck } from '../../src/cli/doctor/mounts.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

test('the doctor checks every pin root', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'bpffs-doctor-'));
  t.after(() => rm(directory, { recursive: true }));
  const missing = join(directory, 'missing');
  const checked = async (args: readonly string[], env: NodeJS.ProcessEnv) => {
    const socket = join(directory, 'none.sock');
    const command = [MAIN, 'doctor', `--pinner-endpoint=${socket}`, `--endpoint=${socket}`, ...args];
    const { stdout } = await execa(process.execPath, command, { env, reject: false });
    return Array.from(stdout.matchAll(/^(\w+) +pins at (\S+)/gm), ([, state, path]) => `${state} ${path}`);
  };
  const found = [`warn ${directory}`, `warn ${missing}`];
  assert.deepEqual(await checked([`--pin-root=${directory},${missing}`], {}), found);
  assert.deepEqual(await checked([], { BPFFS_PIN_ROOT: `${directory},${missing}` }), found);
});

test("the doctor follows a link to the kubelet's directory", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'bpffs-doctor-'));
  const data = join(directory, 'data');
  await mkdir(data);
  await execa('mount', ['-t', 'tmpfs', 'none', data]);
  await mkdir(join(data, 'pods'));
  t.after(async () => {
    await execa('umount', [data]);
    await rm(directory, { recursive: true });
  });
  const link = join(directory, 'kubelet');
  await symlink(data, link);
  const found = () => kubeletDirCheck(link);
  assert.equal((await found()).state, 'warn');
  await execa('mount', ['--make-shared', data]);
  assert.deepEqual(await found(), {
    state: 'ok',
    what: `kubelet at ${link}`,
    found: `lies on the shared mount ${data}`,
  });
});
