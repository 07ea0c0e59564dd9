import { chmod, copyFile, cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { version } from '../../src/version.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { createImage, type ImageOptions } from '../cluster/image.ts';
import { BIN } from '../cluster/node.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The archive that test/deploy/build-image.sh makes, and the image's name. */
const DRIVER_ARCHIVE = join(ROOT, 'test/deploy/bin/image.tar');
export const DRIVER = { repository: 'localhost/csi-driver-bpffs', tag: 'test' };
export const PROVISIONER = 'localhost/csi-provisioner:test';
/** For pods that use maps: a shell with the usual commands, and PROGRAMS. */
export const MAPS = 'localhost/maps:1';
/** For pods that run programs as Debian publishes them, bpftool and xdp-filter; with map and a shell. */
export const PUBLISHED = 'localhost/published:1';

/** native/examples/map, and the static clients of test/clients/README.md. */
const PROGRAMS = [
  'dist/map',
  'test/clients/cilium/bin/cilium',
  'test/clients/example/bin/loader',
  'test/clients/example/bin/consumer',
  'test/clients/counter/bin/counter-libbpf',
  'test/clients/counter/bin/counter-cilium',
  'test/clients/counter/bin/counter.bpf.o',
];

/** Imports the images of the driver, and of test pods. */
export async function importImages(cluster: Cluster): Promise<void> {
  await importDriver(cluster);
  await importImage(cluster, { name: MAPS }, (root) => install(join(root, 'bin'), PROGRAMS));
  await importImage(cluster, { name: PUBLISHED }, async (root) => {
    await cp(join(ROOT, 'test/clients/debian/bin/root'), root, { recursive: true, verbatimSymlinks: true });
    for (const directory of ['lib', 'lib64', 'sbin']) await symlink(`usr/${directory}`, join(root, directory));
    await install(join(root, 'bin'), ['dist/map']);
  });
}

/** Imports the images of the driver, also under the name that documents and examples use, and of external-provisioner. */
export async function importDriver(cluster: Cluster): Promise<void> {
  await cluster.importImage(DRIVER_ARCHIVE);
  const { repository, tag } = DRIVER;
  await cluster.run('ctr', 'images', 'tag', `${repository}:${tag}`, `${repository}:${version}`);
  await importImage(cluster, { name: PROVISIONER, entrypoint: ['/csi-provisioner'] }, (root) =>
    copyFile(join(BIN, 'csi-provisioner'), join(root, 'csi-provisioner')),
  );
}

/** Makes a directory with these programs, and a shell with the usual commands. */
async function install(directory: string, programs: readonly string[]): Promise<void> {
  await mkdir(directory);
  for (const program of programs) await copyFile(join(ROOT, program), join(directory, basename(program)));
  await copyFile('/bin/busybox', join(directory, 'busybox'));
  const { stdout } = await execa('/bin/busybox', ['--list']);
  const applets = stdout.split('\n').filter((name) => name !== 'busybox');
  for (const name of applets) await symlink('busybox', join(directory, name));
}

/** Imports an image of the files that `fill` puts into its root directory. */
export async function importImage(
  cluster: Cluster,
  options: Omit<ImageOptions, 'directory'>,
  fill: (root: string) => Promise<void>,
): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-image-'));
  try {
    const root = join(scratch, 'root');
    await mkdir(root);
    await chmod(root, 0o755);
    await fill(root);
    await createImage({ ...options, directory: root }, join(scratch, 'image.tar'));
    await cluster.importImage(join(scratch, 'image.tar'));
  } finally {
    await rm(scratch, { recursive: true });
  }
}
