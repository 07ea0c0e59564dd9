import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { execa } from 'execa';
import { BIN } from '../cluster/node.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const { EPERM } = constants.errno;

/** What a consumer of maps needs. It cannot create, load, pin or freeze anything, or open anything by id. */
const OF_CONSUMERS: Readonly<Record<number, string>> = {
  1: 'BPF_MAP_LOOKUP_ELEM',
  2: 'BPF_MAP_UPDATE_ELEM',
  3: 'BPF_MAP_DELETE_ELEM',
  4: 'BPF_MAP_GET_NEXT_KEY',
  7: 'BPF_OBJ_GET',
  15: 'BPF_OBJ_GET_INFO_BY_FD',
  21: 'BPF_MAP_LOOKUP_AND_DELETE_ELEM',
  24: 'BPF_MAP_LOOKUP_BATCH',
  25: 'BPF_MAP_LOOKUP_AND_DELETE_BATCH',
  26: 'BPF_MAP_UPDATE_BATCH',
  27: 'BPF_MAP_DELETE_BATCH',
};

/** What a loader with a BPF token needs, besides. It cannot open anything by id, either. */
const OF_LOADERS: Readonly<Record<number, string>> = {
  ...OF_CONSUMERS,
  0: 'BPF_MAP_CREATE',
  5: 'BPF_PROG_LOAD',
  6: 'BPF_OBJ_PIN',
  8: 'BPF_PROG_ATTACH',
  9: 'BPF_PROG_DETACH',
  16: 'BPF_PROG_QUERY',
  18: 'BPF_BTF_LOAD',
  22: 'BPF_MAP_FREEZE',
  28: 'BPF_LINK_CREATE',
  29: 'BPF_LINK_UPDATE',
  34: 'BPF_LINK_DETACH',
  35: 'BPF_PROG_BIND_MAP',
  36: 'BPF_TOKEN_CREATE',
};

const PROFILES = { consumer: OF_CONSUMERS, loader: OF_LOADERS } as const;
type Whose = keyof typeof PROFILES;
const EACH = Object.keys(PROFILES) as Whose[];

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-seccomp-'));
  await mkdir(join(scratch, 'rootfs', 'bin'), { recursive: true });
  await mkdir(join(scratch, 'maps'));
  await execa('mount', ['-t', 'bpf', 'bpf', join(scratch, 'maps')]);
  const flags = ['-Os', '-Wall', '-Wextra', '-Werror', '-static', '-s'];
  await execa('gcc', [
    ...flags,
    '-o',
    join(scratch, 'rootfs/bin/bpf-commands'),
    join(ROOT, 'test/deploy/bpf-commands.c'),
  ]);
  await execa('cp', [join(ROOT, 'dist/map'), join(scratch, 'rootfs/bin')]);
  await execa(join(ROOT, 'dist/map'), ['create', join(scratch, 'maps/flows')]);
});
after(async () => {
  await execa('umount', [join(scratch, 'maps')], { reject: false });
  await rm(scratch, { recursive: true, force: true });
});

// The generator looks at the architecture that it runs on.
for (const whose of EACH) {
  test(`the profile for a ${whose} is what its generator makes`, { skip: process.arch !== 'x64' }, async () => {
    const { stdout } = await execa('go', ['run', '.', whose], { cwd: join(ROOT, 'deploy/seccomp/generate') });
    assert.deepEqual(await profile(whose), JSON.parse(stdout), 'run `make manifests`');
  });
}

test('without a profile the kernel itself refuses root nothing for want of permission', async () => {
  const answers = await bpfCommands(undefined);
  const refused = [...answers].filter(([, errno]) => errno === EPERM);
  assert.deepEqual(refused, []);
});

for (const whose of EACH) {
  test(`with it, the commands of a ${whose} get through and no other`, async () => {
    const answers = await bpfCommands(await profile(whose));
    const allowed = PROFILES[whose];
    for (let command = 0; command < 64; command++) {
      const refused = answers.get(String(command)) === EPERM;
      assert.equal(refused, !(command in allowed), `command ${command} ${allowed[command] ?? ''}`);
    }
  });
}

test('the upper half of the register neither shuts out nor lets in', async () => {
  const answers = await bpfCommands(await profile());
  assert.notEqual(answers.get('rubbish-1'), EPERM);
  assert.equal(answers.get('rubbish-0'), EPERM);
});

test('a map can be read and written, and none made', async () => {
  const seccomp = await profile();
  assert.equal(await run(['map', 'write', '/maps/flows', '7', '42'], seccomp), '');
  assert.equal(await run(['map', 'read', '/maps/flows'], seccomp), '7=42');
  await assert.rejects(run(['map', 'create', '/maps/other'], seccomp), /MAP_CREATE.*EPERM/);
});

for (const whose of EACH) {
  test(`beside bpf(2), that for a ${whose} is the default profile`, async () => {
    const { defaultAction, syscalls } = await profile(whose);
    assert.equal(defaultAction, 'SCMP_ACT_ERRNO');
    const allowed = new Set(syscalls.flatMap(({ names, action }) => (action === 'SCMP_ACT_ALLOW' ? names : [])));
    for (const name of ['read', 'openat2', 'mmap', 'epoll_wait', 'futex', 'clone']) assert(allowed.has(name), name);
    for (const name of ['mount', 'unshare', 'setns', 'init_module', 'perf_event_open', 'keyctl', 'io_uring_setup'])
      assert(!allowed.has(name), name);
  });
}

interface Profile {
  readonly defaultAction: string;
  readonly syscalls: readonly { readonly names: readonly string[]; readonly action: string }[];
}

async function profile(whose: Whose = 'consumer'): Promise<Profile> {
  return JSON.parse(await readFile(join(ROOT, `deploy/seccomp/bpf-${whose}.json`), 'utf8'));
}

/** The errno of each command; 0 for success. */
async function bpfCommands(seccomp: Profile | undefined): Promise<ReadonlyMap<string, number>> {
  const lines = (await run(['bpf-commands'], seccomp)).split('\n');
  assert.equal(lines.length, 66);
  return new Map(lines.map((line) => line.split(' ')).map(([command = '', errno]) => [command, Number(errno)]));
}

/** Runs in a container as root with every capability, so that only the profile can refuse. */
async function run(args: readonly string[], seccomp: Profile | undefined): Promise<string> {
  const capabilities = ['CAP_SYS_ADMIN', 'CAP_BPF', 'CAP_PERFMON', 'CAP_NET_ADMIN', 'CAP_DAC_OVERRIDE'];
  const config = {
    ociVersion: '1.2.0',
    root: { path: 'rootfs', readonly: true },
    process: {
      args,
      cwd: '/',
      user: { uid: 0, gid: 0 },
      env: ['PATH=/bin'],
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/maps', source: join(scratch, 'maps'), options: ['rbind'] },
    ],
    linux: { namespaces: [{ type: 'mount' }, { type: 'pid' }], ...(seccomp && { seccomp }) },
  };
  for (const { destination } of config.mounts) await mkdir(join(scratch, 'rootfs', destination), { recursive: true });
  await writeFile(join(scratch, 'config.json'), JSON.stringify(config));
  const name = `csi-driver-bpffs-seccomp-${process.pid}`;
  const { stdout } = await execa(join(BIN, 'runc'), [
    '--root',
    join(scratch, 'runc'),
    'run',
    '--bundle',
    scratch,
    name,
  ]);
  return stdout;
}
