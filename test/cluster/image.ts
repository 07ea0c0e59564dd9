import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

/** What an image is made from. */
export interface ImageOptions {
  /** The full reference: `localhost/busybox:1`. */
  readonly name: string;
  /** The image's root directory, with its file modes. All files will belong to root. */
  readonly directory: string;
  readonly entrypoint?: readonly string[];
  /** As in a Dockerfile's USER: "65534". */
  readonly user?: string;
}

/** Writes an image of one layer, for this machine's architecture, as an OCI archive for `ctr images import`. */
export async function createImage(options: ImageOptions, file: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-image-'));
  try {
    await mkdir(join(scratch, 'blobs', 'sha256'), { recursive: true });
    const layer = join(scratch, 'layer');
    await tar(options.directory, layer);
    const rootfs = await addBlob(scratch, await readFile(layer));
    const config = await addBlob(scratch, imageConfig(options, rootfs.digest));
    const manifest = await addBlob(scratch, {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...rootfs }],
    });
    const annotations = { 'io.containerd.image.name': options.name };
    const index = { schemaVersion: 2, manifests: [{ mediaType: MANIFEST, ...manifest, annotations }] };
    await writeFile(join(scratch, 'index.json'), JSON.stringify(index));
    await writeFile(join(scratch, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    await rm(layer);
    await tar(scratch, file);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

function imageConfig({ entrypoint, user }: ImageOptions, layer: string): object {
  const config = {
    Env: ['PATH=/bin:/sbin'],
    ...(entrypoint && { Entrypoint: entrypoint }),
    ...(user && { User: user }),
  };
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  return { architecture, os: 'linux', config, rootfs: { type: 'layers', diff_ids: [layer] } };
}

async function addBlob(scratch: string, content: Buffer | object): Promise<Descriptor> {
  const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
  const hash = createHash('sha256').update(bytes).digest('hex');
  await writeFile(join(scratch, 'blobs', 'sha256', hash), bytes);
  return { digest: `sha256:${hash}`, size: bytes.length };
}

/** Reproducible: the same directory gives the same bytes. */
async function tar(directory: string, file: string): Promise<void> {
  const sameEverywhere = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  await execa('tar', [...sameEverywhere, '--directory', directory, '--create', '--file', file, '.']);
}
