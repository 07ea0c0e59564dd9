import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';

/** Makes a cgroup of this name at the root of every mounted hierarchy, of version 1 and 2. */
export async function makeCgroup(name: string): Promise<void> {
  for (const root of await roots()) await mkdir(join(root, name), { recursive: true });
}

/** Removes the cgroup with all below it. Its processes must have ended, or be ending. */
export async function removeCgroup(name: string): Promise<void> {
  for (const root of await roots()) {
    await eventually(`cgroup ${join(root, name)} is removed`, 10, async () => {
      await remove(join(root, name));
      return true;
    });
  }
}

async function remove(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(ignoreAbsent);
  if (entries === undefined) return;
  for (const entry of entries) if (entry.isDirectory()) await remove(join(path, entry.name));
  await rmdir(path).catch(ignoreAbsent);
}

function ignoreAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

async function roots(): Promise<readonly string[]> {
  const table = (await readFile('/proc/self/mountinfo', 'utf8')).trimEnd().split('\n');
  return table.filter((line) => / - cgroup2? /.test(line)).map((line) => line.split(' ')[4] ?? '');
}
