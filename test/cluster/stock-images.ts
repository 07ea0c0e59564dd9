import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { createImage } from './image.ts';
import { BIN } from './node.ts';

/** The image that holds a pod's namespaces. */
export const PAUSE = 'localhost/pause:1';
/** A shell with the usual commands, for test pods. */
export const BUSYBOX = 'localhost/busybox:1';

/** Writes the two images of every cluster into a directory, and returns their files. */
export async function createStockImages(directory: string): Promise<readonly string[]> {
  const files = { pause: join(directory, 'pause.tar'), busybox: join(directory, 'busybox.tar') };
  await withDirectory(async (root) => {
    await copyFile(join(BIN, 'pause'), join(root, 'pause'));
    await createImage({ name: PAUSE, directory: root, entrypoint: ['/pause'], user: '65535' }, files.pause);
  });
  await withDirectory(async (root) => {
    for (const name of ['bin', 'etc', 'tmp']) await mkdir(join(root, name));
    await chmod(join(root, 'tmp'), 0o1777);
    await copyFile('/bin/busybox', join(root, 'bin', 'busybox'));
    const { stdout } = await execa('/bin/busybox', ['--list']);
    const applets = stdout.split('\n').filter((name) => name !== 'busybox');
    for (const name of applets) await symlink('busybox', join(root, 'bin', name));
    await writeFile(join(root, 'etc', 'passwd'), 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n');
    await createImage({ name: BUSYBOX, directory: root }, files.busybox);
  });
  return Object.values(files);
}

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-image-'));
  try {
    await chmod(directory, 0o755);
    await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}
