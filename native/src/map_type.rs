//! Which map types are handed out to pods, and which the pinner creates. Types not listed here are refused.

use std::borrow::Cow;

/// A map type.
#[derive(Debug)]
pub struct MapType {
    /// `enum bpf_map_type`, fixed by the kernel's ABI.
    pub kind: u32,
    /// bpftool's name for it.
    pub name: &'static str,
    /// Whether a pod may have it, or why not.
    pub handed_out: Result<(), &'static str>,
    /// What creating one takes, if the pinner can.
    pub creatable: Option<Ingredients>,
}

/// What creating a map takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingredients {
    /// Type, sizes and flags.
    Shape,
    /// A shape for the map and one for its inner maps.
    InnerShape,
}

const fn handed_out(kind: u32, name: &'static str) -> MapType {
    MapType { kind, name, handed_out: Ok(()), creatable: None }
}

const fn creatable(kind: u32, name: &'static str) -> MapType {
    MapType { kind, name, handed_out: Ok(()), creatable: Some(Ingredients::Shape) }
}

const fn of_maps(kind: u32, name: &'static str) -> MapType {
    MapType { kind, name, handed_out: Ok(()), creatable: Some(Ingredients::InnerShape) }
}

const fn refused(kind: u32, name: &'static str, why: &'static str) -> MapType {
    MapType { kind, name, handed_out: Err(why), creatable: None }
}

/// All types known to this version, by number.
const TYPES: &[MapType] = &[
    creatable(1, "hash"),
    creatable(2, "array"),
    refused(3, "prog_array", "who writes it decides which program runs, and its content goes with its last user"),
    handed_out(4, "perf_event_array"),
    creatable(5, "percpu_hash"),
    creatable(6, "percpu_array"),
    refused(7, "stack_trace", "it shows kernel addresses"),
    handed_out(8, "cgroup_array"),
    creatable(9, "lru_hash"),
    creatable(10, "lru_percpu_hash"),
    creatable(11, "lpm_trie"),
    of_maps(12, "array_of_maps"),
    of_maps(13, "hash_of_maps"),
    creatable(14, "devmap"),
    creatable(15, "sockmap"),
    creatable(16, "cpumap"),
    creatable(17, "xskmap"),
    creatable(18, "sockhash"),
    refused(19, "cgroup_storage", "the kernel has deprecated it"),
    handed_out(20, "reuseport_sockarray"),
    refused(21, "percpu_cgroup_storage", "the kernel has deprecated it"),
    creatable(22, "queue"),
    creatable(23, "stack"),
    handed_out(24, "sk_storage"),
    creatable(25, "devmap_hash"),
    refused(26, "struct_ops", "who writes it replaces functions of the kernel"),
    creatable(27, "ringbuf"),
    handed_out(28, "inode_storage"),
    handed_out(29, "task_storage"),
    creatable(30, "bloom_filter"),
    creatable(31, "user_ringbuf"),
    handed_out(32, "cgrp_storage"),
    handed_out(33, "arena"),
];

/// Elements are not preallocated.
pub const NO_PREALLOC: u32 = 1 << 0;
/// Each CPU has its own LRU list.
pub const NO_COMMON_LRU: u32 = 1 << 1;
/// Programs can only read it.
pub const RDONLY_PROG: u32 = 1 << 7;
/// Its values can be mmapped.
pub const MMAPABLE: u32 = 1 << 10;
/// On the inner map of an array of maps: other inner maps may have another `max_entries`.
pub const INNER_MAP: u32 = 1 << 12;

const FLAGS: &[(&str, u32)] = &[
    ("BPF_F_NO_PREALLOC", NO_PREALLOC),
    ("BPF_F_NO_COMMON_LRU", NO_COMMON_LRU),
    ("BPF_F_ZERO_SEED", 1 << 6),
    ("BPF_F_RDONLY_PROG", RDONLY_PROG),
    ("BPF_F_WRONLY_PROG", 1 << 8),
    ("BPF_F_MMAPABLE", MMAPABLE),
    ("BPF_F_INNER_MAP", INNER_MAP),
];

/// bpftool's name of a type, or `type N` for an unknown one.
#[must_use]
pub fn name(kind: u32) -> Cow<'static, str> {
    find(kind).map_or_else(|| Cow::Owned(format!("type {kind}")), |known| Cow::Borrowed(known.name))
}

/// As [`name`]; `None` for an unknown type.
#[must_use]
pub fn known_name(kind: u32) -> Option<&'static str> {
    find(kind).map(|known| known.name)
}

/// Whether pods may have a map of this type. An unknown type, from a later kernel, is refused: what it does besides
/// holding values is not known.
///
/// # Errors
/// The reason, to follow "is not handed out:".
pub fn check_handed_out(kind: u32) -> Result<(), &'static str> {
    find(kind)
        .map_or(Err("this version of the driver does not know what a pod could do with it; a newer one may"), |known| {
            known.handed_out
        })
}

/// The type of this name, if the pinner can create it.
#[must_use]
pub fn creatable_by_name(name: &str) -> Option<u32> {
    TYPES.iter().find(|known| known.creatable.is_some() && known.name == name).map(|known| known.kind)
}

/// Why the pinner creates no map of this type; `None` if there is no such type.
#[must_use]
pub fn not_creatable(name: &str) -> Option<&'static str> {
    let known = TYPES.iter().find(|known| known.name == name)?;
    Some(match (known.handed_out, known.creatable) {
        (Err(why), _) => why,
        _ => {
            "it takes more than a definition says, as BTF of its values; let the program that uses it pin it, and name that pin"
        }
    })
}

/// Whether this is a map of maps, which takes a shape for its inner maps.
#[must_use]
pub fn holds_maps(kind: u32) -> bool {
    find(kind).is_some_and(|known| known.creatable == Some(Ingredients::InnerShape))
}

/// What [`creatable_by_name`] accepts, for messages.
#[must_use]
pub fn creatable_names() -> String {
    names(|known| known.creatable.is_some())
}

/// Those of [`creatable_names`] that can be in a map of maps, for messages.
#[must_use]
pub fn creatable_inner_names() -> String {
    names(|known| known.creatable == Some(Ingredients::Shape))
}

fn names(wanted: impl Fn(&MapType) -> bool) -> String {
    let names: Vec<_> = TYPES.iter().filter(|known| wanted(known)).map(|known| known.name).collect();
    names.join(", ")
}

/// Whether creating a map of this type takes `CAP_NET_ADMIN` (on newer kernels, `CAP_SYS_ADMIN` will do).
#[must_use]
pub fn is_for_networks(kind: u32) -> bool {
    matches!(name(kind).as_ref(), "devmap" | "devmap_hash" | "sockmap" | "sockhash" | "xskmap")
}

/// The most elements that the pinner creates, where it is less than the kernel's limit. The kernel allocates per-CPU
/// values one by one, at a microsecond each or more, and does not stop when the caller gives up.
#[must_use]
pub fn most_entries(kind: u32) -> u32 {
    if matches!(name(kind).as_ref(), "percpu_array" | "percpu_hash" | "lru_percpu_hash") { 1 << 24 } else { u32::MAX }
}

/// The bit of a `BPF_F_…` name, if a created map may have that flag.
#[must_use]
pub fn flag_by_name(name: &str) -> Option<u32> {
    FLAGS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
}

/// What [`flag_by_name`] accepts, for messages.
#[must_use]
pub fn flag_names() -> String {
    let names: Vec<_> = FLAGS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn find(kind: u32) -> Option<&'static MapType> {
    TYPES.iter().find(|known| known.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gapless_and_names_unique() {
        for (index, known) in TYPES.iter().enumerate() {
            assert_eq!(known.kind as usize, index + 1, "{}", known.name);
            assert_eq!(TYPES.iter().filter(|other| other.name == known.name).count(), 1, "{}", known.name);
        }
    }

    #[test]
    fn struct_ops_and_friends_are_refused() {
        for refused in ["struct_ops", "prog_array", "stack_trace"] {
            let kind = TYPES.iter().find(|known| known.name == refused).map(|known| known.kind);
            assert!(kind.is_some_and(|kind| check_handed_out(kind).is_err()), "{refused}");
        }
    }

    #[test]
    fn a_type_that_this_version_does_not_know_is_refused() {
        assert!(check_handed_out(0).is_err());
        assert!(check_handed_out(10_000).is_err());
        assert_eq!(name(10_000), "type 10000");
    }

    #[test]
    fn only_types_that_a_definition_describes_can_be_created() {
        assert_eq!(creatable_by_name("hash"), Some(1));
        assert_eq!(creatable_by_name("struct_ops"), None);
        assert_eq!(creatable_by_name("inode_storage"), None);
    }

    #[test]
    fn maps_of_maps_are_not_for_maps_of_maps() {
        assert!(creatable_by_name("hash_of_maps").is_some_and(holds_maps));
        assert!(!creatable_by_name("hash").is_some_and(holds_maps));
        assert!(creatable_names().contains("array_of_maps"));
        assert!(!creatable_inner_names().contains("_of_maps"));
    }
}
