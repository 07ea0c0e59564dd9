import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toCreatedMap } from './created-map.ts';
import type { MapDefinition } from './map-definition.ts';
import { mapDefinitionSchema } from './map-definition-schema.ts';

const hash = { type: 'hash', keySize: 4, valueSize: 8, maxEntries: 16 };
const array = { type: 'array', valueSize: 8, maxEntries: 16 };

describe('fills in the sizes that the type determines', () => {
  const cases: readonly (readonly [raw: object, keySize: number, valueSize: number])[] = [
    [array, 4, 8],
    [{ ...array, type: 'percpu_array' }, 4, 8],
    [{ type: 'ringbuf', maxEntries: 4096 }, 0, 0],
    [{ type: 'user_ringbuf', maxEntries: 4096 }, 0, 0],
    [{ ...array, type: 'queue' }, 0, 8],
    [{ ...array, type: 'stack' }, 0, 8],
    [{ ...array, type: 'bloom_filter' }, 0, 8],
    [{ type: 'xskmap', maxEntries: 4 }, 4, 4],
    [{ type: 'sockmap', maxEntries: 4 }, 4, 4],
    [{ type: 'sockhash', keySize: 16, maxEntries: 4 }, 16, 4],
    [{ type: 'devmap', maxEntries: 4 }, 4, 4],
    [{ type: 'devmap', valueSize: 8, maxEntries: 4 }, 4, 8],
    [{ type: 'devmap_hash', maxEntries: 4 }, 4, 4],
    [{ type: 'cpumap', maxEntries: 4 }, 4, 4],
    [{ type: 'array_of_maps', maxEntries: 4, inner: array }, 4, 4],
    [{ type: 'hash_of_maps', keySize: 16, maxEntries: 4, inner: array }, 16, 4],
  ];
  for (const [raw, keySize, valueSize] of cases) {
    test(JSON.stringify(raw), () => {
      const definition = mapDefinitionSchema.parse(raw);
      assert.deepEqual([definition.keySize, definition.valueSize, definition.flags], [keySize, valueSize, []]);
      assert.deepEqual(mapDefinitionSchema.parse(definition), definition, 'what is complete stays as it is');
    });
  }
});

describe('rejects', () => {
  const cases: readonly (readonly [raw: object, ...issues: string[]])[] = [
    [{ ...hash, keySize: 0 }, 'keySize: keySize must be 1 to 4194254 for type hash, is 0'],
    [{ ...hash, keySize: 1.5 }, 'keySize: must be a whole number'],
    [{ ...hash, keySize: -4 }, 'keySize: keySize must be 1 to 4194254 for type hash, is -4'],
    [
      { ...hash, keySize: 1 << 21, valueSize: 1 << 21 },
      'valueSize: keySize and valueSize together must be at most 4194255 for type hash, are 4194304',
    ],
    [
      { ...hash, type: 'percpu_hash', valueSize: 32_769 },
      'valueSize: valueSize must be 1 to 32768 for type percpu_hash, is 32769',
    ],
    [
      { ...array, type: 'percpu_array', maxEntries: 1_000_000_000 },
      'maxEntries: maxEntries must be 1 to 16777216 for type percpu_array, is 1000000000',
    ],
    [
      { ...hash, type: 'percpu_hash', keySize: 4_194_254 },
      'valueSize: keySize and valueSize together must be at most 4194255 for type percpu_hash, are 4194262',
    ],
    [
      { type: 'hash' },
      'keySize: keySize is required for type hash: 1 to 4194254',
      'valueSize: valueSize is required for type hash: 1 to 4194254',
      'maxEntries: maxEntries is required for type hash: 1 to 134217728',
    ],
    [{ ...array, keySize: 8 }, 'keySize: keySize must be 4 for type array, is 8'],
    [{ ...array, type: 'queue', keySize: 4 }, 'keySize: keySize must be 0 for type queue, is 4'],
    [{ type: 'devmap', valueSize: 6, maxEntries: 1 }, 'valueSize: valueSize must be 4 or 8 for type devmap, is 6'],
    [
      { type: 'ringbuf', maxEntries: 12_288 },
      'maxEntries: maxEntries must be a power of two from 4096 to 2147483648 for type ringbuf, is 12288',
    ],
    [
      { ...hash, type: 'lpm_trie', keySize: 261 },
      'keySize: keySize must be 5 to 260 for type lpm_trie, is 261',
      'flags: type lpm_trie needs the flag BPF_F_NO_PREALLOC: add it to flags',
    ],
    [
      { ...hash, type: 'lpm_trie', keySize: 5, valueSize: 4_194_009, flags: ['BPF_F_NO_PREALLOC'] },
      'valueSize: valueSize must be 1 to 4194008 for type lpm_trie, is 4194009',
    ],
    [
      { ...hash, type: 'lru_hash', flags: ['BPF_F_NO_PREALLOC'] },
      'flags.0: type lru_hash takes only the flags BPF_F_NO_COMMON_LRU, BPF_F_ZERO_SEED, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG; flags has BPF_F_NO_PREALLOC',
    ],
    [
      { type: 'ringbuf', maxEntries: 4096, flags: ['BPF_F_MMAPABLE'] },
      'flags.0: type ringbuf takes no flags; flags has BPF_F_MMAPABLE',
    ],
    [
      { ...hash, flags: ['BPF_F_RDONLY_PROG', 'BPF_F_WRONLY_PROG'] },
      'flags: BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG exclude each other: remove one of them from flags',
    ],
    [
      { ...array, valueSize: 4 << 20, maxEntries: 0xffffffff },
      'maxEntries: maxEntries must be less for type array, is 4294967295: the map would take more than 64 GiB, the most that the driver makes a map of',
    ],
    [{ ...hash, inner: array }, 'inner: type hash holds no maps: remove inner'],
    [
      { type: 'array_of_maps', maxEntries: 4 },
      'inner: inner is required for type array_of_maps: the definition of each map in it',
    ],
    [
      { type: 'array_of_maps', maxEntries: 4, inner: { ...array, keySize: 8, flags: ['BPF_F_NO_PREALLOC'] } },
      'inner.keySize: keySize must be 4 for type array, is 8',
      'inner.flags.0: type array takes only the flags BPF_F_MMAPABLE, BPF_F_INNER_MAP, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG; flags has BPF_F_NO_PREALLOC',
    ],
  ];
  for (const [raw, ...issues] of cases) {
    test(JSON.stringify(raw), () => {
      const { error } = mapDefinitionSchema.safeParse(raw);
      assert.deepEqual(
        error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
        issues,
      );
    });
  }

  test('maps of maps of maps, unknown types and keys', () => {
    const ofMaps = { type: 'array_of_maps', maxEntries: 4, inner: array };
    for (const raw of [
      { ...ofMaps, inner: ofMaps },
      { ...hash, type: 'struct_ops' },
      { ...hash, mapExtra: 3 },
    ]) {
      assert.equal(mapDefinitionSchema.safeParse(raw).success, false, JSON.stringify(raw));
    }
  });
});

test("a definition is converted to the pinner's message", () => {
  const definition: MapDefinition = {
    ...{ type: 'array_of_maps', keySize: 4, valueSize: 4, maxEntries: 4, flags: [] },
    inner: { type: 'array', keySize: 4, valueSize: 8, maxEntries: 16, flags: ['BPF_F_MMAPABLE'] },
  };
  assert.deepEqual(toCreatedMap(definition, 'flows', 'pvc-1'), { ...definition, name: 'flows', volumeId: 'pvc-1' });
  const { inner: _, ...plain } = definition;
  assert.deepEqual(toCreatedMap(plain, 'flows', ''), { ...plain, name: 'flows', volumeId: '', inner: null });
});
