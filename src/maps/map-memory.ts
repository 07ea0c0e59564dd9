import type { MapDefinition } from './map-definition.ts';

// The pinner has the same formulas (native/src/map_memory.rs); test/integration/map-memory.test.ts compares them.

/** struct bpf_map and what a type adds to it, a little more than on any kernel. */
const HEAD = 1024;
const PAGE = 4096;
const POINTER = 8;

/**
 * An upper estimate of the kernel memory of one full map, in bytes: never less than memlock of its fdinfo on Linux 6.4 and newer. Per-CPU
 * values are counted for `cpus` CPUs; with the default of one, multiply where the node is known. For a preallocated map the estimate is at
 * most 10 % and 2 KiB too high. For a full lpm_trie the kernel reports up to 3.5 times less, because it leaves out intermediate nodes;
 * newer kernels report `cpus` elements less for a hash_of_maps. Not counted: what the elements of a sockmap, devmap, cpumap or map of maps
 * refer to, and rounding by kmalloc.
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
      // A leaf for each prefix, and a node without a value where two prefixes diverge.
      return HEAD + entries * (2 * (40 + keySize - 4) + valueSize);
    case 'queue':
    case 'stack':
      return HEAD + (entries + 1) * valueSize;
    case 'bloom_filter':
      // 7 bits for each entry, with the kernel's default of 5 hash functions.
      return HEAD + Math.min(Math.max(powerOfTwo(7 * entries), 64), 2 ** 32) / 8;
    case 'ringbuf':
    case 'user_ringbuf':
      // Three pages of its own, and the array of pages, with the data pages twice.
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

/** htab_map_mem_usage in kernel/bpf/hashtab.c: the table of buckets, and elements with their headers. */
function hashBytes({ type, keySize, valueSize, maxEntries, flags }: MapDefinition, cpus: number): number {
  const perCpu = type === 'percpu_hash' || type === 'lru_percpu_hash';
  const isLru = type === 'lru_hash' || type === 'lru_percpu_hash';
  const value = roundUp(valueSize, 8);
  const element = 48 + roundUp(keySize, 8) + (perCpu ? POINTER + value * cpus : value);
  const entries = flags.includes('BPF_F_NO_COMMON_LRU') ? roundUp(maxEntries, cpus) : maxEntries;
  const buckets = 16 * powerOfTwo(entries) + 32 * cpus;
  // Elements that are not preallocated have pointers beside them; otherwise each CPU has a spare element.
  if (flags.includes('BPF_F_NO_PREALLOC')) return buckets + entries * (element + (perCpu ? 3 : 1) * POINTER);
  return buckets + entries * element + (perCpu || isLru ? 0 : cpus * (element + POINTER));
}

function roundUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}

/** The smallest power of two that is at least `n`. */
function powerOfTwo(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}
