// Makes an archive of each platform's folder that kubectl-plugin.ts --all has built, with their checksums and the manifest of krew.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { stringify } from 'yaml';
import packageJson from '../package.json' with { type: 'json' };
import { executableOf, nameOf, OUT, PLATFORMS, type Platform } from './kubectl-platforms.ts';

const { version } = packageJson;
const RELEASES = `https://github.com/csi-driver-bpffs/csi-driver-bpffs/releases/download/v${version}`;

/** The same input gives the same archive, whoever owns the files and whatever their modes, which an upload may lose. */
const REPRODUCIBLE = [
  '--sort=name',
  '--owner=0',
  '--group=0',
  '--numeric-owner',
  '--mode=u=rwX,go=rX',
  '--mtime=@0',
  '--use-compress-program=gzip -n',
];

interface Archive {
  readonly platform: Platform;
  readonly archive: string;
  readonly sha256: string;
}

const archives: Archive[] = [];
for (const platform of PLATFORMS) archives.push(await pack(platform));
await writeFile(join(OUT, 'SHA256SUMS'), archives.map(({ sha256, archive }) => `${sha256}  ${archive}\n`).join(''));
await writeFile(join(OUT, 'bpffs.yaml'), stringify(krewManifest()));

async function pack(platform: Platform): Promise<Archive> {
  const files = join(OUT, nameOf(platform));
  const programs = [executableOf(platform), 'kubectl_complete-bpffs'];
  await execa('chmod', ['755', ...programs], { cwd: files });
  const archive = `${nameOf(platform)}.tar.gz`;
  const path = join(OUT, archive);
  await execa('tar', [...REPRODUCIBLE, '-cf', path, '-C', files, '.']);
  const sha256 = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  return { platform, archive, sha256 };
}

/** https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/ */
function krewManifest() {
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
      platforms: archives.map(({ platform, archive, sha256 }) => ({
        selector: { matchLabels: { os: platform.os, arch: platform.arch } },
        uri: `${RELEASES}/${archive}`,
        sha256,
        bin: executableOf(platform),
      })),
    },
  };
}
