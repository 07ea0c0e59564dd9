/** The flags that a definition may have, with the kernel's names and values (include/uapi/linux/bpf.h). */
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

/** The whole numbers that a field allows. `only`: exactly these; the first is the default. */
export type Numbers =
  | { readonly only: readonly [number, ...number[]] }
  | { readonly min: number; readonly max: number; readonly powerOfTwo?: true };

export interface MapTypeRules {
  readonly keySize: Numbers;
  readonly valueSize: Numbers;
  /** The limit for keySize and valueSize together. */
  readonly elementSize?: number;
  readonly maxEntries: Numbers;
  readonly flags: readonly MapFlag[];
  /** A flag that the kernel requires. */
  readonly needs?: MapFlag;
  /** A map of maps, which requires `inner`. */
  readonly ofMaps?: true;
}

/** The largest allocation of kmalloc (KMALLOC_MAX_SIZE) with pages of 4 KiB. */
const KMALLOC_MAX = 4 << 20;
const UINT32_MAX = 0xffffffff;

const access = ['BPF_F_RDONLY_PROG', 'BPF_F_WRONLY_PROG'] as const;

const none: Numbers = { only: [0] };
const four: Numbers = { only: [4] };
/** A number, alone or with a program's descriptor; for sockets a descriptor, or a cookie. */
const fourOrEight: Numbers = { only: [4, 8] };
const upTo = (max: number): Numbers => ({ min: 1, max });
const anyNumber = upTo(UINT32_MAX);

/**
 * Per-CPU values: PCPU_MIN_UNIT_SIZE; older kernels do not check, and answer ENOMEM. The kernel allocates them one by one, a microsecond
 * each, and does not stop when the caller gives up. Hence the limit on their number, which is the driver's and the pinner's own.
 */
const perCpu = { valueSize: upTo(32 << 10), maxEntries: upTo(1 << 24) } as const;

/**
 * htab_map_alloc_check and htab_map_alloc in kernel/bpf/hashtab.c. An element is one allocation; 48 is its header (struct htab_elem). Since
 * 5.11, keys may be longer than a program's stack. The table of buckets, a power of two of 16 bytes each, must be less than 4 GiB.
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
 * array_map_alloc_check in kernel/bpf/arraymap.c. If `inner` has BPF_F_INNER_MAP, a map of maps takes arrays with that flag and any number
 * of elements. Newer kernels allow values of up to 2 GiB; this is the limit of 5.15, so that a definition works on all nodes.
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

/** ringbuf_map_alloc in kernel/bpf/ringbuf.c. Where pages are larger than 4 KiB, the minimum is one page. */
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

/** What kernels from 5.15 on accept for each type; test/integration/map-definitions.test.ts compares it with the kernel. */
export const MAP_TYPE_RULES = {
  hash,
  array,
  percpu_hash: { ...hash, ...perCpu },
  percpu_array: { ...array, ...perCpu, flags: access },
  lru_hash: lru,
  lru_percpu_hash: { ...lru, ...perCpu },
  /**
   * trie_alloc in kernel/bpf/lpm_trie.c: a key is the prefix length and 1 to 256 bytes. 40 is a node's header (struct lpm_trie_node); newer
   * kernels, where it is smaller, accept 16 bytes more.
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
  /** cpu_map_alloc in kernel/bpf/cpumap.c. A kernel's own limit is its NR_CPUS; this is the largest that Linux can have. */
  cpumap: { ...sockets, maxEntries: upTo(8192) },
  /** fd_array_map_alloc_check in kernel/bpf/arraymap.c. */
  array_of_maps: { ...array, valueSize: four, flags: [], ofMaps: true },
  /** fd_htab_map_alloc_check in kernel/bpf/hashtab.c. */
  hash_of_maps: { ...hash, valueSize: four, ofMaps: true },
} as const satisfies Record<string, MapTypeRules>;

export type MapType = keyof typeof MAP_TYPE_RULES;
