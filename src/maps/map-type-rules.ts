/** The flags that a definition may have, by the kernel's names and in its numbers (include/uapi/linux/bpf.h). */
export const MAP_FLAGS = {
  BPF_F_NO_PREALLOC: 1 << 0,
  BPF_F_NO_COMMON_LRU: 1 << 1,
  BPF_F_ZERO_SEED: 1 << 6,
  BPF_F_RDONLY_PROG: 1 << 7,
  BPF_F_WRONLY_PROG: 1 << 8,
  BPF_F_MMAPABLE: 1 << 10,
  BPF_F_INNER_MAP: 1 << 12,
} as const;

export type MapFlag = keyof typeof MAP_FLAGS;

/** Whole numbers that a field takes. `only`: these, and the first of them where the field is left out. */
export type Numbers =
  | { readonly only: readonly [number, ...number[]] }
  | { readonly min: number; readonly max: number; readonly powerOfTwo?: true };

export interface MapTypeRules {
  readonly keySize: Numbers;
  readonly valueSize: Numbers;
  /** Of keySize and valueSize together, at most. */
  readonly elementSize?: number;
  readonly maxEntries: Numbers;
  readonly flags: readonly MapFlag[];
  /** The kernel makes none without. */
  readonly needs?: MapFlag;
  /** It holds maps, and says with `inner` what they look like. */
  readonly ofMaps?: true;
}

/** The largest piece that kmalloc gives (KMALLOC_MAX_SIZE), where a page has 4 KiB. */
const KMALLOC_MAX = 4 << 20;
const UINT32_MAX = 0xffffffff;

const access = ['BPF_F_RDONLY_PROG', 'BPF_F_WRONLY_PROG'] as const;

const none: Numbers = { only: [0] };
const four: Numbers = { only: [4] };
/** A number alone, or with a program's; for sockets a descriptor, or a cookie. */
const fourOrEight: Numbers = { only: [4, 8] };
const upTo = (max: number): Numbers => ({ min: 1, max });
const anyNumber = upTo(UINT32_MAX);

/**
 * Per-CPU values: PCPU_MIN_UNIT_SIZE; older kernels, which do not look, answer ENOMEM. The kernel makes them one by one, a
 * microsecond each, and whoever gives up waiting does not stop it: their number is the driver's own limit, the pinner's too.
 */
const perCpu = { valueSize: upTo(32 << 10), maxEntries: upTo(1 << 24) } as const;

/**
 * htab_map_alloc_check and htab_map_alloc in kernel/bpf/hashtab.c. An element is allocated in one piece; 48 is its head
 * (struct htab_elem). Keys may be longer than a program's stack since 5.11. The table of buckets, a power of two of 16
 * bytes each, must be less than 4 GiB.
 */
const hash = {
  keySize: upTo(KMALLOC_MAX - 48 - 2),
  valueSize: upTo(KMALLOC_MAX - 48 - 2),
  elementSize: KMALLOC_MAX - 48 - 1,
  maxEntries: upTo(1 << 27),
  flags: ['BPF_F_NO_PREALLOC', 'BPF_F_ZERO_SEED', ...access],
} as const satisfies MapTypeRules;
const lru = { ...hash, flags: ['BPF_F_NO_COMMON_LRU', 'BPF_F_ZERO_SEED', ...access] } as const;

/**
 * array_map_alloc_check in kernel/bpf/arraymap.c. With BPF_F_INNER_MAP, arrays of any number of elements go into a map of maps
 * whose `inner` has it too. Newer kernels take values up to 2 GiB; 5.15 stops here, and a definition
 * should be good for all nodes.
 */
const array = {
  keySize: four,
  valueSize: upTo(KMALLOC_MAX),
  maxEntries: anyNumber,
  flags: ['BPF_F_MMAPABLE', 'BPF_F_INNER_MAP', ...access],
} as const satisfies MapTypeRules;

/** queue_stack_map_alloc_check in kernel/bpf/queue_stack_maps.c. */
const queue = {
  keySize: none,
  valueSize: upTo(KMALLOC_MAX),
  maxEntries: anyNumber,
  flags: access,
} as const satisfies MapTypeRules;

/** ringbuf_map_alloc in kernel/bpf/ringbuf.c. Where pages are larger than 4 KiB the least is such a page. */
const ringbuf = {
  keySize: none,
  valueSize: none,
  maxEntries: { min: 4096, max: 2 ** 31, powerOfTwo: true },
  flags: [],
} as const satisfies MapTypeRules;

/** sock_map_alloc in net/core/sock_map.c, dev_map_alloc_check in kernel/bpf/devmap.c. */
const sockets = {
  keySize: four,
  valueSize: fourOrEight,
  maxEntries: anyNumber,
  flags: [],
} as const satisfies MapTypeRules;

/** What the kernel, from 5.15 on, makes of each type. test/integration/map-definitions.test.ts holds this against it. */
export const MAP_TYPE_RULES = {
  hash,
  array,
  percpu_hash: { ...hash, ...perCpu },
  percpu_array: { ...array, ...perCpu, flags: access },
  lru_hash: lru,
  lru_percpu_hash: { ...lru, ...perCpu },
  /**
   * trie_alloc in kernel/bpf/lpm_trie.c: a key is the prefix's length and 1 to 256 bytes. 40 is a node's head
   * (struct lpm_trie_node), which newer kernels make smaller: those take 16 bytes more.
   */
  lpm_trie: {
    keySize: { min: 5, max: 260 },
    valueSize: upTo(KMALLOC_MAX - 256 - 40),
    maxEntries: anyNumber,
    flags: ['BPF_F_NO_PREALLOC', ...access],
    needs: 'BPF_F_NO_PREALLOC',
  },
  queue,
  stack: queue,
  /** bloom_map_alloc in kernel/bpf/bloom_filter.c. */
  bloom_filter: { ...queue, flags: ['BPF_F_ZERO_SEED', ...access] },
  ringbuf,
  user_ringbuf: ringbuf,
  sockmap: sockets,
  /** sock_hash_alloc in net/core/sock_map.c: keys lie on a program's stack (MAX_BPF_STACK); buckets as for a hash. */
  sockhash: { ...sockets, keySize: upTo(512), maxEntries: upTo(1 << 27) },
  /** xsk_map_alloc in net/xdp/xskmap.c. */
  xskmap: { ...sockets, valueSize: four },
  devmap: sockets,
  devmap_hash: { ...sockets, maxEntries: upTo(2 ** 31) },
  /** cpu_map_alloc in kernel/bpf/cpumap.c. A node takes no more than its kernel is built for; this is what Linux can be. */
  cpumap: { ...sockets, maxEntries: upTo(8192) },
  /** fd_array_map_alloc_check in kernel/bpf/arraymap.c. */
  array_of_maps: { ...array, valueSize: four, flags: [], ofMaps: true },
  /** fd_htab_map_alloc_check in kernel/bpf/hashtab.c. */
  hash_of_maps: { ...hash, valueSize: four, ofMaps: true },
} as const satisfies Record<string, MapTypeRules>;

export type MapType = keyof typeof MAP_TYPE_RULES;
