import type { MapDefinition } from './map-definition.ts';

// The pinner has the same rule (native/src/map_memory.rs); test/integration/map-memory.test.ts holds the two together.

/** Of struct bpf_map and what a type adds to it; a little more than any kernel's. */
const HEAD = 1024;
const PAGE = 4096;
const POINTER = 8;

/**
 * Kernel memory of one map in bytes when it is full, estimated upwards: never less than memlock of its fdinfo on Linux 6.4 and
 * newer. Per-CPU values are counted for `cpus` CPUs: for the default of one, multiply where the node is known. For a map
 * that has its memory from the start the estimate is at most 10 % and 2 KiB more; an lpm_trie that is full has up to 3.5 times
 * less, as the kernel leaves out the nodes where prefixes part; a hash_of_maps, on newer kernels, has `cpus` elements
 * less. Not counted: what elements of a sockmap, devmap, cpumap or map of maps refer to, and how kmalloc rounds.
 */
export function mapMemoryBytes(definition: MapDefinition, cpus = 1): number {
  const { type, keySize, valueSize, maxEntries: entries, flags } = definition;
  const key = roundUp(keySize, 8);
  const value = roundUp(valueSize, 8);
  switch (type) {
    case 'array':
    case 'array_of_maps':
      if (flags.includes('BPF_F_MMAPABLE')) return PAGE + roundUp(entries * value, PAGE);
      return HEAD + entries * value;
    case 'percpu_array':
      return HEAD + entries * (POINTER + value * cpus);
    case 'hash':
    case 'hash_of_maps':
    case 'percpu_hash':
    case 'lru_hash':
    case 'lru_percpu_hash':
      return HEAD + hashBytes(definition, cpus);
    case 'lpm_trie':
      // A leaf for each prefix and, where two of them part, a node that has no value.
      return HEAD + entries * (2 * (40 + keySize - 4) + valueSize);
    case 'queue':
    case 'stack':
      return HEAD + (entries + 1) * valueSize;
    case 'bloom_filter':
      // 7 bits for each entry, with the kernel's default of 5 hash functions.
      return HEAD + Math.min(Math.max(powerOfTwo(7 * entries), 64), 2 ** 32) / 8;
    case 'ringbuf':
    case 'user_ringbuf':
      // Three pages of its own, and the list of the pages, data twice.
      return HEAD + entries + 3 * PAGE + 3 * POINTER + Math.ceil((2 * entries * POINTER) / PAGE);
    case 'sockhash':
      return HEAD + 16 * powerOfTwo(entries) + entries * (64 + key);
    case 'devmap_hash':
      return HEAD + POINTER * powerOfTwo(entries) + entries * 80;
    case 'xskmap':
      return HEAD + entries * (POINTER + 32);
    case 'sockmap':
    case 'devmap':
    case 'cpumap':
      return HEAD + entries * POINTER;
  }
}

/** htab_map_mem_usage in kernel/bpf/hashtab.c: the table of buckets, and elements each with a head. */
function hashBytes({ type, keySize, valueSize, maxEntries, flags }: MapDefinition, cpus: number): number {
  const perCpu = type === 'percpu_hash' || type === 'lru_percpu_hash';
  const isLru = type === 'lru_hash' || type === 'lru_percpu_hash';
  const value = roundUp(valueSize, 8);
  const element = 48 + roundUp(keySize, 8) + (perCpu ? POINTER + value * cpus : value);
  const entries = flags.includes('BPF_F_NO_COMMON_LRU') ? roundUp(maxEntries, cpus) : maxEntries;
  const buckets = 16 * powerOfTwo(entries) + 32 * cpus;
  // Where elements are allocated one by one, each has pointers beside it; else each CPU has one in reserve.
  if (flags.includes('BPF_F_NO_PREALLOC')) return buckets + entries * (element + (perCpu ? 3 : 1) * POINTER);
  return buckets + entries * element + (perCpu || isLru ? 0 : cpus * (element + POINTER));
}

function roundUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}

/** The least power of two that is not below `n`. */
function powerOfTwo(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}
