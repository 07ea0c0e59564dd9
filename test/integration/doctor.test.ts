import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { kubeletDirCheck } from '../../src/cli/doctor/mounts.ts';

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
