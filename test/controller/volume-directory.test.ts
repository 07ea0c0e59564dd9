import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BadConfiguration, CallError, Code } from '../../src/errors.ts';
import type { VolumeSpec } from '../../src/volumes/volume.ts';
import { openVolumeDirectory, readVolumeDirectory } from '../../src/volumes/volume-directory.ts';

const CREATE_VOLUMES = join(import.meta.dirname, 'create-volumes.ts');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bpffs-volumes-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (file: string) => join(directory, file);

const workspace = (volumeName: string, change: Partial<VolumeSpec> = {}): VolumeSpec => ({
  volumeName,
  content: { type: 'workspace' },
  userNamespace: false,
  accessModes: ['SINGLE_NODE_MULTI_WRITER'],
  capacityBytes: 0,
  nodeName: 'node-1',
  claim: undefined,
  ...change,
});

const SPECS: readonly VolumeSpec[] = [
  workspace('pvc-workspace'),
  workspace('pvc-maps', {
    content: { type: 'maps', maps: 'flows, limits:rw' },
    userNamespace: true,
    accessModes: ['MULTI_NODE_MULTI_WRITER', 'SINGLE_NODE_WRITER'],
    capacityBytes: 1 << 20,
    nodeName: undefined,
    claim: { namespace: 'prod', name: 'maps' },
  }),
  workspace('pvc-shared', {
    content: {
      type: 'shared',
      newMaps: [
        { name: 'Events', type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 4096, flags: [] },
        {
          ...{ name: 'per-tenant', type: 'hash_of_maps', keySize: 4, valueSize: 4, maxEntries: 8 },
          flags: ['BPF_F_NO_PREALLOC'],
          inner: { type: 'array', keySize: 4, valueSize: 8, maxEntries: 2, flags: [] },
        },
      ],
    },
  }),
  workspace('A name that is none for a file: ../x'),
];

const fails = (code: Code, message: RegExp) => (error: unknown) => {
  assert(error instanceof CallError);
  assert.equal(Code[error.code], Code[code], error.message);
  assert.match(error.message, message);
  return true;
};

describe('a volume', () => {
  for (const spec of SPECS) {
    test(`is read as it was made: ${spec.volumeName}`, async () => {
      const store = openVolumeDirectory(directory);
      const volume = await store.create(spec);
      assert.deepEqual(volume.spec, spec);
      assert.match(volume.id, /^[a-z0-9-]{1,72}$/);
      const reader = readVolumeDirectory(directory);
      assert.deepEqual(await reader.get(volume.id), volume);
      assert.deepEqual(await reader.list(), { volumes: [volume], damaged: [] });
      // Others may have the same name, or one that begins alike; the id counts.
      assert.equal(await reader.get(`${volume.id.slice(0, -8)}00000000`), undefined);
      assert.equal(await reader.get('no id of ours'), undefined);
      await store.delete(volume.id);
      assert.equal(await reader.get(volume.id), undefined);
      assert.deepEqual(readdirSync(directory), ['.volumes']);
    });
  }

  test('is the first that was made under its name', async () => {
    const store = openVolumeDirectory(directory);
    const first = await store.create(workspace('pvc'));
    assert.deepEqual(await store.create(workspace('pvc', { nodeName: 'node-2' })), first);
  });

  test('that is made by two at once is one', async () => {
    const [one, two] = [openVolumeDirectory(directory), openVolumeDirectory(directory)];
    for (let i = 0; i < 50; i++) {
      const [a, b] = await Promise.all([
        one.create(workspace(`pvc-${i}`, { nodeName: 'a' })),
        two.create(workspace(`pvc-${i}`, { nodeName: 'b' })),
      ]);
      assert.deepEqual(a, b);
    }
    assert.equal(readdirSync(directory).length, 50 + 1);
  });
});

describe('a damaged file', () => {
  let whole: string;
  let id: string;
  const damages: readonly (readonly [what: string, damage: (text: string) => string | Buffer, why: RegExp])[] = [
    ['empty', () => '', /it is empty/],
    ['half', (text) => text.slice(0, text.length / 2), /it is no JSON/],
    ['zeros', (text) => Buffer.alloc(text.length), /it is no JSON/],
    ['more behind it', (text) => `${text}}`, /it is no JSON/],
    ['no object', () => '[]', /must be an object/],
    ['another kind', (text) => text.replace('BpfVolume', 'BpfMap'), /pvc\.json:\d+:\d+: kind: must be BpfVolume/],
    ['another version', (text) => text.replace('v1alpha1', 'v2'), /apiVersion: must be bpffs\.dev\/v1alpha1/],
    ['a key that nobody knows', (text) => text.replace('"nodeName"', '"node"'), /pvc\.json:\d+:\d+: spec\.\w+: /],
    ['a type that nobody knows', (text) => text.replace('"workspace"', '"wrkspace"'), /spec\.type: /],
    ['a bad uid', (text) => text.replace(/"uid": "./, '"uid": "x'), /metadata\.uid: must be a UUID/],
    ['another volume', (text) => text.replaceAll('"pvc"', '"pvc-2"'), /it holds "pvc-2"/],
    [
      'another volumeName',
      (text) => text.replace('"volumeName": "pvc"', '"volumeName": "PVC"'),
      /its volumeName is "PVC"/,
    ],
  ];
  beforeEach(async () => {
    ({ id } = await openVolumeDirectory(directory).create(workspace('pvc')));
    whole = readFileSync(at('pvc.json'), 'utf8');
  });

  for (const [what, damage, why] of damages) {
    test(`${what}: is never taken for a volume, nor for none`, async () => {
      const store = openVolumeDirectory(directory);
      const other = await store.create(workspace('other'));
      assert.notEqual(String(damage(whole)), whole);
      writeFileSync(at('pvc.json'), damage(whole));
      for (const attempt of [store.get(id), store.delete(id), store.create(workspace('pvc'))]) {
        await assert.rejects(attempt, fails(Code.INTERNAL, why));
        await assert.rejects(
          attempt,
          fails(Code.INTERNAL, /^\/.*\/pvc\.json is damaged: .*; restore it, or remove it when/),
        );
      }
      const { volumes, damaged } = await store.list();
      assert.deepEqual(volumes, [other]);
      assert.equal(damaged.length, 1);
      assert.match(damaged[0] ?? '', why);
      writeFileSync(at('pvc.json'), whole);
      assert.equal((await store.list()).volumes.length, 2);
      assert.equal((await store.get(id))?.id, id);
    });
  }

  test('a directory in its place', async () => {
    rmSync(at('pvc.json'));
    mkdirSync(at('pvc.json'));
    const store = openVolumeDirectory(directory);
    await assert.rejects(store.create(workspace('pvc')), fails(Code.INTERNAL, /pvc\.json is damaged: EISDIR/));
    assert.equal((await store.list()).damaged.length, 1);
  });
});

describe('a directory', () => {
  test('that is away says of no volume that it is gone', async () => {
    const store = openVolumeDirectory(directory);
    const { id } = await store.create(workspace('pvc'));
    await store.list();
    const away = `${directory}-away`;
    for (const replacement of ['nothing', 'a file']) {
      renameSync(directory, away);
      if (replacement === 'a file') writeFileSync(directory, '');
      for (const attempt of [
        () => store.get(id),
        () => store.get('none-0a1b2c3d'),
        () => store.list(),
        () => store.delete(id),
        () => store.create(workspace('pvc')),
        () => store.create(workspace('new')),
      ]) {
        await assert.rejects(attempt, fails(Code.UNAVAILABLE, /^cannot read the volumes: E(NOENT|NOTDIR)/));
      }
      rmSync(directory, { force: true });
      renameSync(away, directory);
      assert.equal((await store.get(id))?.id, id);
    }
  });

  test('in which no volume was ever made says of none that it is gone', async () => {
    const reader = readVolumeDirectory(directory);
    const unsaid = fails(
      Code.UNAVAILABLE,
      /^nobody has made a volume in .* yet, or it is not mounted: it has no file \.volumes, /,
    );
    const store = openVolumeDirectory(directory);
    await assert.rejects(reader.get('pvc-0a1b2c3d'), unsaid);
    assert.deepEqual(await reader.list(), { volumes: [], damaged: [] });
    assert.equal(await store.get('pvc-0a1b2c3d'), undefined, 'who makes them knows');
    const { id } = await store.create(workspace('pvc'));
    rmSync(at('.volumes'));
    assert.equal((await reader.get(id))?.id, id);
    await assert.rejects(reader.get('none-0a1b2c3d'), unsaid);
    openVolumeDirectory(directory);
    assert.equal(await reader.get('none-0a1b2c3d'), undefined);
  });

  test('has to be there for the one who makes volumes, not for a reader', async () => {
    assert.throws(() => openVolumeDirectory(at('none')), BadConfiguration);
    const reader = readVolumeDirectory(at('none'));
    await assert.rejects(reader.list(), fails(Code.UNAVAILABLE, /ENOENT/));
    mkdirSync(at('none'));
    assert.deepEqual(await reader.list(), { volumes: [], damaged: [] });
  });

  test('may hold other things', async () => {
    const store = openVolumeDirectory(directory);
    const volume = await store.create(workspace('pvc'));
    mkdirSync(at('lost+found'));
    for (const file of ['README', 'pvc.json~', '.pvc.json.swp', '.hidden.json']) writeFileSync(at(file), 'text');
    assert.deepEqual(await store.list(), { volumes: [volume], damaged: [] });
  });

  test('is cleared of what dead writers left, of nothing else, and by no reader', () => {
    const [left, other] = ['.0c0f5ad9-7a55-4a3e-9f2e-0f6f7a1f9f00.tmp', '.mine.tmp'];
    for (const file of [left, other]) writeFileSync(at(file), '{');
    readVolumeDirectory(directory);
    assert.deepEqual(readdirSync(directory).toSorted(), [left, other]);
    openVolumeDirectory(directory);
    assert.deepEqual(readdirSync(directory), [other]);
  });

  test('shows each change at the next look', async () => {
    const [store, reader] = [openVolumeDirectory(directory), readVolumeDirectory(directory)];
    const ids = async () => (await reader.list()).volumes.map(({ id }) => id);
    const a = await store.create(workspace('a'));
    const b = await store.create(workspace('b'));
    assert.deepEqual(await ids(), [a.id, b.id]);
    await store.delete(a.id);
    assert.deepEqual(await ids(), [b.id]);
    const again = await store.create(workspace('a'));
    assert.deepEqual(await ids(), [again.id, b.id]);
  });

  test('reads a file again only when it has changed', async () => {
    const store = openVolumeDirectory(directory);
    for (const name of ['a', 'b', 'c']) await store.create(workspace(name));
    const before = (await store.list()).volumes;
    utimesSync(at('b.json'), new Date(), new Date(0));
    writeFileSync(at('c.json'), '');
    const { volumes, damaged } = await store.list();
    assert.equal(volumes[0], before[0]);
    assert.notEqual(volumes[1], before[1]);
    assert.deepEqual(volumes, before.slice(0, 2));
    assert.equal(damaged.length, 1);
  });

  test('that cannot be written to', () => {
    chmodSync(directory, 0o555);
    // Without capabilities root cannot write everywhere.
    const powerless = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, CREATE_VOLUMES, directory, 'a', '1'];
    const { status, stderr } = spawnSync('setpriv', powerless, { encoding: 'utf8' });
    assert.notEqual(status, 0);
    assert.match(stderr, /BadConfiguration: --volumes: cannot keep volumes in .*: EACCES/);
  });
});

interface Creator {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  /** The ids reported as created. */
  acknowledged(): readonly string[];
}

function startCreator(...args: readonly string[]): Creator {
  const process_ = spawn(process.execPath, [CREATE_VOLUMES, directory, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  process_.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const acknowledged = () =>
    output
      .slice(0, output.lastIndexOf('\n') + 1)
      .split('\n')
      .slice(0, -1);
  return { process: process_, ended: once(process_, 'close'), acknowledged };
}

describe('processes', () => {
  test('killed while they create leave whole files or none, and lose nothing that they acknowledged', async () => {
    for (let round = 0; round < 12; round++) {
      const creator = startCreator(`round-${round}`);
      while (creator.acknowledged().length === 0) await sleep(5);
      await sleep(Math.random() * 30);
      creator.process.kill('SIGKILL');
      await creator.ended;
      const { volumes, damaged } = await readVolumeDirectory(directory).list();
      assert.deepEqual(damaged, []);
      const ids = new Set(volumes.map(({ id }) => id));
      for (const id of creator.acknowledged()) assert(ids.has(id), `${id} is lost`);
      // There may be one more, if the process died before it could report it.
      const made = volumes.filter(({ spec }) => spec.volumeName.startsWith(`round-${round}-`)).length;
      assert(made - creator.acknowledged().length <= 1);
    }
    openVolumeDirectory(directory);
    assert.deepEqual(
      readdirSync(directory).filter((file) => !file.endsWith('.json')),
      ['.volumes'],
    );
  });

  test('that make the same volumes at once make each once, though a third one starts again and again', async () => {
    const begin = `${Date.now() + 1500}`;
    const creators = [startCreator('same', '300', begin), startCreator('same', '300', begin)];
    const all = Promise.all(creators.map(({ ended }) => ended));
    for (let over = false; !over; over = await Promise.race([all.then(() => true), sleep(2).then(() => false)])) {
      openVolumeDirectory(directory);
    }
    const [a = [], b = []] = creators.map((creator) => creator.acknowledged());
    assert.equal(a.length, 300);
    assert.deepEqual(a, b);
    const { volumes, damaged } = await readVolumeDirectory(directory).list();
    assert.deepEqual(damaged, []);
    assert.deepEqual(new Set(volumes.map(({ id }) => id)), new Set(a));
    const winners = new Set(volumes.map(({ spec }) => spec.nodeName));
    assert.equal(winners.size, 2, 'both won at times');
  });
});
