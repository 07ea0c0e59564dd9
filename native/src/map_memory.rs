//! Estimates the kernel memory of a map before it is created. `src/maps/map-memory.ts` has the same rules;
//! `test/integration/map-memory.test.ts` compares the two.

use crate::map_type::{self, MMAPABLE, NO_COMMON_LRU, NO_PREALLOC};
use crate::request::Shape;

/// `struct bpf_map` with what a type adds to it; a little more than any kernel uses.
const HEAD: u128 = 1024;
const PAGE: u128 = 4096;
const POINTER: u128 = 8;

/// Upper estimate in bytes for one full map, with per-CPU values for `cpus` CPUs. Saturates at `u64::MAX`; does not
/// check whether the kernel would create such a map.
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
        // Each CPU has a spare element.
        "hash" | "hash_of_maps" => hash(shape, cpus, 48 + key + value, POINTER, cpus * (48 + key + value + POINTER)),
        "lru_hash" => hash(shape, cpus, 48 + key + value, POINTER, 0),
        "percpu_hash" | "lru_percpu_hash" => hash(shape, cpus, 48 + key + values, 3 * POINTER, 0),
        // A leaf for each prefix, and a node without a value where two prefixes part.
        "lpm_trie" => entries * (2 * (40 + key_size.saturating_sub(4)) + value_size),
        "queue" | "stack" => (entries + 1) * value_size,
        // 7 bits per entry, for the kernel's default of 5 hash functions.
        "bloom_filter" => (7 * entries).next_power_of_two().clamp(64, 1 << 32) / 8,
        // Three pages of its own, and an array of page pointers that has the data pages twice.
        "ringbuf" | "user_ringbuf" => entries + 3 * PAGE + 3 * POINTER + (2 * entries * POINTER).div_ceil(PAGE),
        "sockhash" => 16 * entries.next_power_of_two() + entries * (64 + key),
        "devmap_hash" => POINTER * entries.next_power_of_two() + entries * 80,
        "xskmap" => entries * (POINTER + 32),
        // sockmap, devmap, cpumap.
        _ => entries * POINTER,
    };
    HEAD + rest
}

/// `htab_map_mem_usage` in `kernel/bpf/hashtab.c`: buckets and elements. Without preallocation each element has
/// pointers `beside` it; with it, some are in `reserve`.
fn hash(shape: &Shape, cpus: u128, element: u128, beside: u128, reserve: u128) -> u128 {
    let entries = rounded_entries(shape, cpus);
    let buckets = 16 * entries.next_power_of_two() + 32 * cpus;
    buckets + if shape.flags & NO_PREALLOC != 0 { entries * (element + beside) } else { entries * element + reserve }
}

/// How many elements the kernel allocates: with an LRU list per CPU, `max_entries` rounded up to a multiple of the
/// CPUs.
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
