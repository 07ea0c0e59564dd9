// Puts the seccomp profiles where the kubelet looks for them: node install.ts DIRECTORY. The image has no shell that could.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const NAMES = ['bpf-consumer.json', 'bpf-loader.json'];

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  process.stderr.write('usage: node install.ts DIRECTORY\n');
  process.exit(64);
}
for (const name of NAMES) {
  const profile = await readFile(join(import.meta.dirname, name));
  const target = join(directory, name);
  const present = await readFile(target).catch(() => undefined);
  const isUpToDate = present?.equals(profile) === true;
  if (!isUpToDate) {
    await mkdir(directory, { recursive: true });
    // A container runtime that reads it at this moment gets the one before or this one.
    await writeFile(`${target}.new`, profile, { mode: 0o644 });
    await rename(`${target}.new`, target);
  }
  process.stdout.write(`${target} is ${isUpToDate ? 'up to date' : 'installed'}\n`);
}
