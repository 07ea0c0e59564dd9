import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { end } from '../../src/cli/local-node.ts';
import { toCreatedMap } from '../../src/maps/created-map.ts';
import type { MapDefinition } from '../../src/maps/map-definition.ts';
import { mapMemoryBytes } from '../../src/maps/map-memory.ts';
import { MAP_TYPE_RULES, type MapFlag, type MapType } from '../../src/maps/map-type-rules.ts';
import { createPinner } from '../../src/pinner/pinner.ts';
import { Access } from '../../src/rpc/pinner.ts';

// The pinner has the same rules. One with a budget of nothing reports what each definition would take.

/** The number of possible CPUs. */
const cpus = Number(readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim().split('-').at(-1)) + 1;

const FLAGS: readonly (readonly MapFlag[])[] = [[], ['BPF_F_NO_PREALLOC'], ['BPF_F_NO_COMMON_LRU'], ['BPF_F_MMAPABLE']];

/** Sizes that round differently, including the largest. */
function* definitionsOf(type: MapType): Generator<MapDefinition> {
  const inner: MapDefinition = { type: 'percpu_hash', keySize: 9, valueSize: 9, maxEntries: 1001, flags: [] };
  const perCpu = type.includes('percpu');
  for (const flags of FLAGS) {
    for (const [keySize, valueSize] of [
      [4, 4],
      [5, 1],
      [8, 9],
      [260, 4096],
      [4 << 20, 4 << 20],
    ] as const) {
      for (const maxEntries of [1, 3, 64, 65, 4096, 1 << 24, ...(perCpu ? [] : [2 ** 27 + 1, 2 ** 32 - 1])]) {
        const definition = { type, keySize, valueSize, maxEntries, flags };
        yield 'ofMaps' in MAP_TYPE_RULES[type] ? { ...definition, inner } : definition;
      }
    }
  }
}

test('the pinner estimates memory as the node plugin does', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'bpffs-'));
  const at = (name: string) => join(directory, name);
  const volume = join(at('kubelet'), 'pods', 'pod', 'volumes', 'kubernetes.io~csi', 'maps');
  for (const path of [volume, at('pins')]) await mkdir(path, { recursive: true });
  const flags = {
    socket: at('pinner.sock'),
    'kubelet-dir': at('kubelet'),
    'store-dir': at('store'),
    'pin-root': at('pins'),
  };
  const options = Object.entries({ ...flags, 'peer-uid': '0', 'created-memory-max': '0', 'log-level': 'error' });
  const child = spawn(
    'dist/bpffs-pinner',
    options.map(([name, value]) => `--${name}=${value}`),
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const pinner = createPinner(at('pinner.sock'));
  try {
    while (!existsSync(at('pinner.sock')) && child.exitCode === null) await sleep(1);
    const definitions = (Object.keys(MAP_TYPE_RULES) as MapType[]).flatMap((type) => [...definitionsOf(type)]);
    assert.ok(definitions.length > 1000);
    // As far as TypeScript's numbers are exact.
    for (const definition of definitions.filter((one) => Number.isSafeInteger(mapMemoryBytes(one, cpus)))) {
      const source = { created: toCreatedMap(definition, 'map', '') } as const;
      const map = { name: 'map', fileName: 'map', access: Access.READ_ONLY, source };
      const request = {
        volumeId: 'volume',
        targetPath: join(volume, 'mount'),
        maps: [map],
        request: '',
      };
      const refused = pinner.publishVolume(
        { ...request, userNamespace: false, singleTarget: false, renew: false },
        { deadline: Date.now() + 10_000 },
      );
      const inner = definition.inner === undefined ? 0 : mapMemoryBytes(definition.inner, cpus);
      const bytes = BigInt(mapMemoryBytes(definition, cpus)) + BigInt(inner);
      await assert.rejects(
        refused,
        { message: new RegExp(`it would take ${bytes} bytes`) },
        JSON.stringify(definition),
      );
    }
  } finally {
    pinner.close();
    await end(child, 'SIGTERM');
    await rm(directory, { recursive: true, force: true }).catch(() => {});
  }
});
