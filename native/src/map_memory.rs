//! How much kernel memory a map takes, before there is one. The same rule as in `src/maps/map-memory.ts`, and
//! `test/integration/map-memory.test.ts` holds the two against each other.

use crate::map_type::{self, MMAPABLE, NO_COMMON_LRU, NO_PREALLOC};
use crate::request::Shape;

/// Of struct `bpf_map` and what a type adds to it; a little more than any kernel's.
const HEAD: u128 = 1024;
const PAGE: u128 = 4096;
const POINTER: u128 = 8;

/// Bytes of one map when it is full, estimated upwards; per-CPU values are counted for `cpus` CPUs. Whether the kernel makes
/// such a map is not looked at, and what is too large for a number is the largest one.
#[must_use]
pub fn estimate(shape: &Shape, cpus: u64) -> u64 {
    u64::try_from(bytes(shape, cpus)).unwrap_or(u64::MAX)
}

fn bytes(shape: &Shape, cpus: u64) -> u128 {
    let Shape { kind, key_size, value_size, max_entries, flags } = *shape;
    let [key_size, value_size, entries] = [key_size, value_size, max_entries].map(u128::from);
    let (key, value, cpus) = (key_size.next_multiple_of(8), value_size.next_multiple_of(8), u128::from(cpus));
    let values = POINTER + value * cpus;
    let rest = match map_type::name(kind).as_ref() {
        "array" | "array_of_maps" if flags & MMAPABLE != 0 => return PAGE + (entries * value).next_multiple_of(PAGE),
        "array" | "array_of_maps" => entries * value,
        "percpu_array" => entries * values,
        // Each CPU has an element in reserve.
        "hash" | "hash_of_maps" => hash(shape, cpus, 48 + key + value, POINTER, cpus * (48 + key + value + POINTER)),
        "lru_hash" => hash(shape, cpus, 48 + key + value, POINTER, 0),
        "percpu_hash" | "lru_percpu_hash" => hash(shape, cpus, 48 + key + values, 3 * POINTER, 0),
        // A leaf for each prefix and, where two of them part, a node that has no value.
        "lpm_trie" => entries * (2 * (40 + key_size.saturating_sub(4)) + value_size),
        "queue" | "stack" => (entries + 1) * value_size,
        // 7 bits for each entry, with the kernel's default of 5 hash functions.
        "bloom_filter" => (7 * entries).next_power_of_two().clamp(64, 1 << 32) / 8,
        // Three pages of its own, and the list of the pages, data twice.
        "ringbuf" | "user_ringbuf" => entries + 3 * PAGE + 3 * POINTER + (2 * entries * POINTER).div_ceil(PAGE),
        "sockhash" => 16 * entries.next_power_of_two() + entries * (64 + key),
        "devmap_hash" => POINTER * entries.next_power_of_two() + entries * 80,
        "xskmap" => entries * (POINTER + 32),
        // sockmap, devmap, cpumap.
        _ => entries * POINTER,
    };
    HEAD + rest
}

/// `htab_map_mem_usage` in `kernel/bpf/hashtab.c`: the table of buckets, and elements. Where these are allocated one by one,
/// each has pointers `beside` it; else some are in `reserve`.
fn hash(shape: &Shape, cpus: u128, element: u128, beside: u128, reserve: u128) -> u128 {
    let entries = rounded_entries(shape, cpus);
    let buckets = 16 * entries.next_power_of_two() + 32 * cpus;
    buckets + if shape.flags & NO_PREALLOC != 0 { entries * (element + beside) } else { entries * element + reserve }
}

/// The number of elements that the kernel makes of a definition's: with an LRU list for each CPU, a multiple of their number.
#[must_use]
pub fn rounded_entries(shape: &Shape, cpus: u128) -> u128 {
    let entries = u128::from(shape.max_entries);
    if shape.flags & NO_COMMON_LRU == 0 { entries } else { entries.next_multiple_of(cpus) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(kind: u32, value_size: u32, max_entries: u32) -> Shape {
        Shape { kind, key_size: 4, value_size, max_entries, flags: 0 }
    }

    #[test]
    fn per_cpu_values_are_counted_for_each_cpu() {
        assert_eq!(estimate(&shape(6, 8, 1_000_000_000), 2), 1024 + 24_000_000_000);
    }

    #[test]
    fn nothing_is_too_large_to_be_estimated() {
        for kind in 0..64 {
            for flags in [0, u32::MAX] {
                let largest = Shape { key_size: u32::MAX, flags, ..shape(kind, u32::MAX, u32::MAX) };
                assert!(estimate(&largest, 8192) > u64::from(u32::MAX) / 8, "{kind}");
            }
        }
    }
}
