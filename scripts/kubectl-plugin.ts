// Builds kubectl-bpffs as a single executable for this machine or, with --all, for every platform, in a folder for each:
// https://nodejs.org/api/single-executable-applications.html
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { executableOf, NODE_VERSION, nameOf, OUT, PLATFORMS, type Platform } from './kubectl-platforms.ts';

/** kubectl runs it to complete the plugin's arguments. */
const COMPLETION = '#!/bin/sh\nexec kubectl bpffs __complete "$@"\n';

const directory = await mkdtemp(join(tmpdir(), 'kubectl-bpffs-'));
try {
  if (process.argv.includes('--all')) {
    for (const platform of PLATFORMS) await buildFor(platform);
  } else await build(process.execPath, OUT, 'kubectl-bpffs');
} finally {
  await rm(directory, { recursive: true });
}

async function buildFor(platform: Platform): Promise<void> {
  const files = join(OUT, nameOf(platform));
  await rm(files, { recursive: true, force: true });
  await build(await nodeOf(platform), files, executableOf(platform));
  await cp(join(import.meta.dirname, '../LICENSE'), join(files, 'LICENSE'));
}

/** `node`: the executable that the program is put into. */
async function build(node: string, files: string, executable: string): Promise<void> {
  const config = join(directory, 'sea.json');
  const main = join(OUT, 'kubectl-bpffs.cjs');
  const output = join(files, executable);
  await mkdir(files, { recursive: true });
  await writeFile(config, JSON.stringify({ main, output, executable: node, disableExperimentalSEAWarning: true }));
  await execa(process.execPath, [`--build-sea=${config}`]);
  await chmod(output, 0o755);
  await writeFile(join(files, 'kubectl_complete-bpffs'), COMPLETION, { mode: 0o755 });
}

/** Downloads the platform's Node, and returns its path. npm checks what it has downloaded. */
async function nodeOf({ os, node }: Platform): Promise<string> {
  const target = join(directory, node);
  await mkdir(target);
  const { stdout } = await execa('npm', [
    'pack',
    '--silent',
    `--pack-destination=${target}`,
    `${node}@${NODE_VERSION}`,
  ]);
  await execa('tar', ['-xzf', join(target, stdout.trim()), '-C', target]);
  return join(target, 'package/bin', os === 'windows' ? 'node.exe' : 'node');
}
