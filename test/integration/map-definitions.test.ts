import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { execa } from 'execa';
import type { MapDefinition } from '../../src/maps/map-definition.ts';
import { mapDefinitionSchema } from '../../src/maps/map-definition-schema.ts';
import { mapMemoryBytes } from '../../src/maps/map-memory.ts';
import { MAP_FLAGS, MAP_TYPE_RULES, type MapFlag, type MapType } from '../../src/maps/map-type-rules.ts';
import { mapProgram } from './node.ts';

// Definitions of all types, judged by the rules and by this kernel: dist/map creates and frees each of them.

const MIB = 2 ** 20;
const E2BIG = 7;
const ENOMEM = 12;

/** enum bpf_map_type, fixed by the kernel's ABI. */
const KINDS: Readonly<Record<MapType, number>> = {
  ...{ hash: 1, array: 2, percpu_hash: 5, percpu_array: 6, lru_hash: 9, lru_percpu_hash: 10, lpm_trie: 11 },
  ...{ array_of_maps: 12, hash_of_maps: 13, devmap: 14, sockmap: 15, cpumap: 16, xskmap: 17, sockhash: 18 },
  ...{ queue: 22, stack: 23, devmap_hash: 25, ringbuf: 27, bloom_filter: 30, user_ringbuf: 31 },
};
const TYPES = Object.keys(KINDS) as MapType[];
const FLAGS = Object.keys(MAP_FLAGS) as MapFlag[];

/** Types that allocate elements as needed, so that an empty map takes less memory. Older kernels also reserve some. */
const GROWING: readonly MapType[] = ['lpm_trie', 'sockhash', 'devmap_hash', 'xskmap', 'hash_of_maps'];

const KEYS = [
  ...[0, 1, 3, 4, 5, 8, 9, 64, 259, 260, 261, 511, 512, 513, 65_536],
  ...[-59, -58, -57, -56, -55, -54, -53, -52, -51, -50, -49, -48, -47, 0, 1].map((less) => 4 * MIB + less),
  0xffffffff,
];
const VALUES = [
  ...[0, 1, 3, 4, 5, 7, 8, 9, 16, 4096, 32_760, 32_761, 32_768, 32_769],
  ...[-297, -296, -295, -281, -280, -279, -58, -53, -52, -51, -49, -48, -47, 0, 1].map((less) => 4 * MIB + less),
  ...[0x7fffffff, 0x80000000, 0xfffffff9, 0xffffffff],
];
const ENTRIES = [
  ...[0, 1, 2, 3, 5, 63, 64, 65, 1000, 2048, 4095, 4096, 4097, 8191, 8192, 8193, 12_288, 65_536, MIB, MIB + 4096],
  ...[2 ** 27, 2 ** 27 + 1, 2 ** 31, 2 ** 31 + 1, 0xffffffff],
];

/** The smallest definition of a type. */
function minimal(type: MapType): MapDefinition {
  const rules = MAP_TYPE_RULES[type];
  const of = (numbers: (typeof rules)['keySize' | 'valueSize' | 'maxEntries']) =>
    'only' in numbers ? numbers.only[0] : numbers.min;
  return {
    type,
    keySize: of(rules.keySize),
    valueSize: of(rules.valueSize),
    maxEntries: of(rules.maxEntries),
    flags: 'needs' in rules ? [rules.needs] : [],
    ...('ofMaps' in rules && { inner: minimal('array') }),
  };
}

function* grid(type: MapType): Generator<MapDefinition> {
  const base = minimal(type);
  for (const keySize of KEYS) for (const valueSize of VALUES) yield { ...base, keySize, valueSize };
  for (const maxEntries of ENTRIES) {
    for (const flag of [undefined, ...FLAGS]) {
      yield { ...base, maxEntries, flags: flag === undefined ? base.flags : [...base.flags, flag] };
    }
  }
  for (let set = 0; set < 2 ** FLAGS.length; set += 1) {
    yield { ...base, flags: FLAGS.filter((_, index) => set & (1 << index)) };
  }
  for (const valueSize of [4, 8, 32_768]) {
    for (const maxEntries of [1, 5, 64, 1000]) yield { ...base, valueSize, maxEntries };
  }
}

function* gridOfMaps(type: MapType): Generator<MapDefinition> {
  const base = minimal(type);
  for (const innerType of TYPES) {
    const { inner: _, ...inner } = minimal(innerType);
    yield { ...base, inner };
    for (const flag of FLAGS) yield { ...base, inner: { ...inner, flags: [...inner.flags, flag] } };
    for (const keySize of [0, 4, 8, 513]) yield { ...base, inner: { ...inner, keySize } };
    for (const valueSize of [0, 4, 8, 32_769]) yield { ...base, inner: { ...inner, valueSize } };
    for (const maxEntries of [0, 5, 4097]) yield { ...base, inner: { ...inner, maxEntries } };
  }
  const { inner: _, ...without } = base;
  yield without;
}

const accepted = (definition: MapDefinition) => mapDefinitionSchema.safeParse(definition).success;

/** Whether trying it is cheap. What the rules refuse, the kernel refuses before it allocates, except for values of an array. */
function isSmall(definition: MapDefinition): boolean {
  if (definition.type === 'lpm_trie') return true;
  // The driver would refuse these, but the kernel would try.
  if (mapMemoryBytes(definition) > 2 ** 36 || (definition.type.includes('percpu') && definition.maxEntries > 1 << 24))
    return false;
  return mapMemoryBytes(definition) <= 64 * MIB || !(accepted(definition) || definition.type === 'array');
}

/** Where rules and this kernel may differ; the reasons are in the table of rules. */
function isKnown({ type, valueSize, maxEntries, inner }: MapDefinition, errno: number | undefined): boolean {
  // The limit depends on the number of possible CPUs.
  if (errno === E2BIG)
    return (type === 'cpumap' && maxEntries > cpus) || (inner !== undefined && isKnown(inner, errno));
  if (errno !== undefined) return false;
  // Newer kernels accept more.
  return type === 'lpm_trie' ? valueSize <= 4 * MIB - 256 - 24 : type === 'array' && valueSize > 4 * MIB;
}

/** The number of possible CPUs. */
const cpus = Number(readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim().split('-').at(-1)) + 1;

type Verdict = { readonly memory: number } | { readonly errno: number };

async function ask(definitions: readonly MapDefinition[], fill = ''): Promise<readonly Verdict[]> {
  const input = definitions.map((definition) => `${inNumbers(definition)} ${fill}`).join('\n');
  const { stdout } = await execa(mapProgram, ['try'], { input, maxBuffer: 64 * MIB });
  const lines = stdout.split('\n');
  assert.equal(lines.length, definitions.length);
  return lines.map((line) => (line.startsWith('ok ') ? { memory: Number(line.slice(3)) } : { errno: Number(line) }));
}

function inNumbers({ type, keySize, valueSize, maxEntries, flags, inner }: MapDefinition): string {
  const bits = flags.reduce((sum, flag) => sum | MAP_FLAGS[flag], 0);
  const own = [KINDS[type], keySize, valueSize, maxEntries, bits].join(' ');
  return inner === undefined ? own : `${own} ${inNumbers(inner)}`;
}

/** Fails with the wrong definitions, up to a screenful. */
function assertNone(wrong: readonly string[]): void {
  assert.ok(wrong.length === 0, `${wrong.length} wrong:\n${wrong.slice(0, 40).join('\n')}`);
}

const definitions = [
  ...TYPES.flatMap((type) => [...grid(type)]),
  ...[...gridOfMaps('array_of_maps'), ...gridOfMaps('hash_of_maps')],
].filter(isSmall);

test(`${definitions.length} definitions: rules and kernel agree, and memory is what the kernel counts`, async (t) => {
  const verdicts = await ask(definitions);
  const wrong: string[] = [];
  let made = 0;
  for (const [index, definition] of definitions.entries()) {
    const verdict = verdicts[index] as Verdict;
    const errno = 'errno' in verdict ? verdict.errno : undefined;
    if (errno === undefined) made += 1;
    if (accepted(definition) !== (errno === undefined)) {
      if (!isKnown(definition, errno)) {
        wrong.push(`${JSON.stringify(definition)}: the kernel says ${errno === undefined ? 'yes' : `errno ${errno}`}`);
      }
    } else if ('memory' in verdict) {
      const estimate = mapMemoryBytes(definition, cpus);
      const grows = GROWING.includes(definition.type) || definition.flags.includes('BPF_F_NO_PREALLOC');
      if (estimate < verdict.memory || (!grows && estimate > 1.1 * verdict.memory + 2048)) {
        wrong.push(`${JSON.stringify(definition)}: ${verdict.memory} bytes, estimated ${estimate}`);
      }
    }
  }
  assertNone(wrong);
  t.diagnostic(`the kernel made ${made} of them`);
  assert.ok(made > 1000 && definitions.length - made > 1000);
});

test('entries that no memory is enough for', async () => {
  const many: readonly (readonly [MapType, number])[] = [
    ...(['hash', 'percpu_hash', 'lru_hash', 'lru_percpu_hash', 'hash_of_maps', 'sockhash'] as const).map(
      (type) => [type, 2 ** 27 + 1] as const,
    ),
    ...[['devmap_hash', 2 ** 31 + 1] as const, ['ringbuf', 2 ** 31 + 4096] as const, ['cpumap', 8193] as const],
  ];
  const beyond = many.map(([type, maxEntries]) => ({ ...minimal(type), maxEntries }));
  assert.deepEqual(beyond.filter(accepted), []);
  for (const [index, verdict] of (await ask(beyond)).entries()) {
    assert.ok(
      'errno' in verdict && verdict.errno !== ENOMEM,
      `${JSON.stringify(beyond[index])}: ${JSON.stringify(verdict)}`,
    );
  }
});

test('what may be left out is filled in as the kernel takes it', async () => {
  const completed = TYPES.map((type) => {
    const { keySize, valueSize, ...rest } = minimal(type);
    const rules = MAP_TYPE_RULES[type];
    return mapDefinitionSchema.parse({
      ...rest,
      ...(!('only' in rules.keySize) && { keySize }),
      ...(!('only' in rules.valueSize) && { valueSize }),
    });
  });
  const verdicts = await ask(completed);
  assert.deepEqual(
    verdicts.map((verdict) => 'errno' in verdict),
    TYPES.map(() => false),
  );
});

test('a map that grew has no more memory than was estimated', async () => {
  const wrong: string[] = [];
  const full: MapDefinition[] = [];
  for (const type of ['hash', 'percpu_hash', 'lru_hash', 'lru_percpu_hash', 'lpm_trie'] as const) {
    for (const [keySize, valueSize, maxEntries] of [
      [8, 1, 1000],
      [9, 8, 4096],
      [64, 300, 333],
    ] as const) {
      const definition = { type, keySize, valueSize, maxEntries, flags: [] };
      full.push(definition, { ...definition, flags: ['BPF_F_NO_PREALLOC'] });
    }
  }
  const possible = full.filter(accepted);
  const verdicts = await ask(possible, 'fill');
  for (const [index, definition] of possible.entries()) {
    const verdict = verdicts[index] as Verdict;
    const memory = 'memory' in verdict ? verdict.memory : Number.NaN;
    const estimate = mapMemoryBytes(definition, cpus);
    const max = (definition.type === 'lpm_trie' ? 3.5 : 1.1) * memory + 2048;
    if (!(memory > 0 && estimate >= memory && estimate <= max)) {
      wrong.push(`${JSON.stringify(definition)}: ${memory} bytes, estimated ${estimate}`);
    }
  }
  assertNone(wrong);
});
