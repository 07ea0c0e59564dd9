import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A semantic version without build metadata, which a container image's tag cannot have: https://semver.org */
const SEMVER = /^\d+\.\d+\.\d+(-[\w.-]+)?$/;

/** `pattern` matches each version of this project in the file, and nothing around it. */
interface Place {
  readonly file: string;
  readonly what: string;
  readonly pattern: RegExp;
}

/** The image that the tutorial builds, and that the examples use. */
const LOCAL = /(?<=localhost\/csi-driver-bpffs:)[\w.-]+/g;
const CRATE = /(?<=^name = "bpffs-pinner"\nversion = ")[^"]+/gm;

/** Everywhere that the version is written, except what `make manifests` renders. */
const PLACES: readonly Place[] = [
  { file: 'package.json', what: 'version', pattern: /(?<=^ {2}"version": ")[^"]+/gm },
  { file: 'package-lock.json', what: 'version', pattern: /(?<="name": "csi-driver-bpffs",\s+"version": ")[^"]+/g },
  { file: 'native/Cargo.toml', what: 'version', pattern: CRATE },
  { file: 'native/Cargo.lock', what: 'bpffs-pinner', pattern: CRATE },
  { file: 'native/fuzz/Cargo.lock', what: 'bpffs-pinner', pattern: CRATE },
  { file: 'deploy/chart/Chart.yaml', what: 'version', pattern: /(?<=^version: ).+/gm },
  { file: 'deploy/chart/Chart.yaml', what: 'appVersion', pattern: /(?<=^appVersion: ).+/gm },
  { file: 'deploy/chart/Chart.yaml', what: 'image', pattern: /(?<=csi-driver-bpffs\/csi-driver-bpffs:).+/gm },
  { file: 'docs/tutorial.md', what: 'image', pattern: LOCAL },
  { file: 'README.md', what: 'image', pattern: /(?<=registry\.example\/csi-driver-bpffs:)[\w.-]+/g },
  { file: 'docs/install.md', what: 'image', pattern: /(?<=registry\.example\/csi-driver-bpffs:)[\w.-]+/g },
  ...[
    'tutorial/2-producer',
    'tutorial/3-consumer',
    'tutorial/4-intruder',
    'examples/daemonset-loader',
    'examples/delegation',
    'examples/generic-ephemeral',
    'examples/inline-read-only',
    'examples/inline-read-write',
    'examples/inline-selinux',
    'examples/storageclass-maps',
    'examples/storageclass-shared',
    'examples/storageclass-workspace',
  ].map((name) => ({ file: `deploy/${name}.yaml`, what: 'image', pattern: LOCAL })),
  { file: 'Dockerfile', what: 'ARG VERSION', pattern: /(?<=^ARG VERSION=).+/gm },
];

/** `where`: the file, and what in it. */
export interface Found {
  readonly where: string;
  readonly version: string;
}

/** All versions written in the project at `root`, package.json's first, and the newest one of CHANGELOG.md. Throws if one is missing. */
export async function readVersions(root: string): Promise<readonly Found[]> {
  const found: Found[] = [];
  const newest = { file: 'CHANGELOG.md', what: 'newest section with a version', pattern: /(?<=^## )\d.*/m };
  for (const { file, what, pattern } of [...PLACES, newest]) {
    const where = `${file}: ${what}`;
    const versions = (await readFile(join(root, file), 'utf8')).match(pattern) ?? [];
    if (versions.length === 0) throw new Error(`${where}: no version found`);
    found.push(...versions.map((version) => ({ where, version })));
  }
  return found;
}

/** What keeps these versions from being released, as `tag` if there is one: one text for each version that is wrong. */
export function problemsOf([first, ...others]: readonly Found[], tag?: string): readonly string[] {
  if (first === undefined) return ['no version found'];
  const { where, version } = first;
  return [
    ...(SEMVER.test(version) ? [] : [`${where} is ${version}: not a semantic version`]),
    ...(tag === undefined || tag === `v${version}` ? [] : [`the tag is ${tag}, but ${where} is ${version}`]),
    ...others.filter((one) => one.version !== version).map((one) => `${one.where} is ${one.version}, not ${version}`),
  ];
}

/** Writes the version to every place in the project at `root`, except to CHANGELOG.md. */
export async function writeVersion(root: string, version: string): Promise<void> {
  if (!SEMVER.test(version)) throw new Error(`${version}: not a semantic version`);
  for (const { file, pattern } of PLACES) {
    const path = join(root, file);
    await writeFile(path, (await readFile(path, 'utf8')).replace(pattern, version));
  }
}
