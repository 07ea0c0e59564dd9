//! Maps of maps that the pinner creates.

use std::os::fd::{AsFd, AsRawFd};

use bpffs_pinner::api::publish_volume_response::Outcome;
use bpffs_pinner::api::{CreatedMap, InnerMap, Source};
use rustix::io::Errno;
use tonic::Code;

use crate::sources_pinned::assert_unusable;
use crate::support::map;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, defined};

fn inner(kind: &str, sizes: (u32, u32, u32), flags: &[&str]) -> InnerMap {
    let (key_size, value_size, max_entries) = sizes;
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    InnerMap { r#type: kind.to_owned(), key_size, value_size, max_entries, flags }
}

fn of(kind: &str, value_size: u32, inner: impl Into<Option<InnerMap>>) -> Source {
    let (name, r#type) = ("kept".to_owned(), kind.to_owned());
    defined(CreatedMap {
        name,
        r#type,
        key_size: 4,
        value_size,
        max_entries: 8,
        inner: inner.into(),
        ..Default::default()
    })
}

/// Puts a map into a map of maps.
fn put(outer: &std::path::Path, map: std::os::fd::BorrowedFd<'_>) -> Result<(), Errno> {
    let outer = map::open_writable(outer)?;
    map::update(outer.as_fd(), 1, u64::from(map.as_raw_fd().cast_unsigned()))
}

#[test]
fn both_kinds_are_made_and_take_what_was_described() {
    let node = Node::start();
    for kind in ["array_of_maps", "hash_of_maps"] {
        let source = of(kind, 4, inner("hash", (4, 8, 16), &["BPF_F_NO_PREALLOC"]));
        let mut source_of = source.clone();
        if let Some(bpffs_pinner::api::source::From::Created(created)) = &mut source_of.from {
            created.name = kind.to_owned();
        }
        let wanted = Wanted::new(kind, &node.pod("pod", kind)).write("outer", source_of.clone());
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created);
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);

        let described = node.describe(source_of).unwrap();
        assert_eq!((described.r#type.as_str(), described.name.as_str()), (kind, kind));
        let outer = wanted.target().join("outer");
        let without_flag = map::create(map::HASH, "inner", 0);
        let alike = map::create(map::HASH, "inner", 1);
        assert_eq!(put(&outer, alike.as_fd()), Ok(()), "{kind}");
        assert_eq!(put(&outer, without_flag.as_fd()), Err(Errno::INVAL), "{kind}");
        assert_eq!(put(&outer, map::create(map::ARRAY, "inner", 0).as_fd()), Err(Errno::INVAL), "{kind}");
    }
}

#[test]
fn arrays_of_any_length_go_where_the_pattern_says_so() {
    let node = Node::start();
    let source = of("array_of_maps", 4, inner("array", (4, 8, 16), &["BPF_F_INNER_MAP"]));
    let wanted = Wanted::new("volume", &node.pod("pod", "maps")).write("outer", source);
    node.publish(&wanted).unwrap();
    // The pinner can create such arrays, too.
    let (name, r#type, flags) = ("long".to_owned(), "array".to_owned(), vec!["BPF_F_INNER_MAP".to_owned()]);
    let long = CreatedMap { name, r#type, flags, key_size: 4, value_size: 8, max_entries: 99, ..Default::default() };
    let other = Wanted::new("other", &node.pod("pod", "other")).write("long", defined(long));
    node.publish(&other).unwrap();
    assert_eq!(node.publish(&other).unwrap(), Outcome::Unchanged);
    let long = map::open_writable(&other.target().join("long")).unwrap();
    assert_eq!(put(&wanted.target().join("outer"), long.as_fd()), Ok(()));
    assert_eq!(put(&wanted.target().join("outer"), map::create(map::ARRAY, "short", 0).as_fd()), Err(Errno::INVAL));
}

#[test]
fn what_was_the_pattern_is_not_kept() {
    let node = Node::start();
    let is_mine = |id: u32| {
        let map = bpffs_pinner::sys::bpf::map_by_id(id).unwrap();
        map.is_some_and(|map| bpffs_pinner::sys::bpf::map_info(map.as_fd()).unwrap().max_entries == 4321)
    };
    let source = of("array_of_maps", 4, inner("array", (4, 8, 4321), &[]));
    node.publish(&Wanted::new("volume", &node.pod("pod", "maps")).write("outer", source)).unwrap();
    assert_eq!(bpffs_pinner::sys::bpf::map_ids(0).filter(|id| is_mine(*id.as_ref().unwrap())).count(), 0);
}

#[test]
fn another_definition_is_refused() {
    let node = Node::start();
    let pattern = || inner("hash", (4, 8, 16), &[]);
    let wanted = Wanted::new("other", &node.pod("pod", "maps")).read("kept", of("hash_of_maps", 4, pattern()));
    node.publish(&wanted).unwrap();
    let other = of("array_of_maps", 4, pattern());
    assert_unusable(&node, &other, Code::FailedPrecondition, &["type hash_of_maps, not array_of_maps"]);
    let plain = of("hash", 4, None);
    assert_unusable(&node, &plain, Code::FailedPrecondition, &["type hash_of_maps, not hash"]);
}

#[test]
fn definitions_that_are_malformed() {
    let node = Node::start();
    let pattern = || inner("hash", (4, 8, 16), &[]);
    let known = "hash, array, percpu_hash";
    for (source, parts) in [
        (of("array_of_maps", 4, None), &["source.created.inner: \"array_of_maps\" needs it"][..]),
        (of("hash_of_maps", 4, None), &["source.created.inner: \"hash_of_maps\" needs it"]),
        (of("hash", 4, pattern()), &["source.created.inner: \"hash\" holds no maps"]),
        (of("ringbuf", 4, pattern()), &["source.created.inner: \"ringbuf\" holds no maps"]),
        (
            of("array_of_maps", 4, inner("hash_of_maps", (4, 4, 1), &[])),
            &["source.created.inner.type: \"hash_of_maps\" is none of", known],
        ),
        (of("array_of_maps", 4, inner("", (4, 4, 1), &[])), &["source.created.inner.type: \"\" is none of", known]),
        (
            of("array_of_maps", 4, inner("struct_ops", (4, 4, 1), &[])),
            &["source.created.inner.type: \"struct_ops\" is none of"],
        ),
        (
            of("array_of_maps", 4, inner("hash", (4, 4, 1), &["NO_PREALLOC"])),
            &["source.created.inner.flags: \"NO_PREALLOC\" is none of"],
        ),
    ] {
        assert_unusable(&node, &source, Code::InvalidArgument, parts);
    }
    let text = node.publish(&Wanted::new("volume", &node.pod("pod", "maps")).read("kept", of("table", 4, None)));
    assert!(text.unwrap_err().message().contains("array_of_maps, hash_of_maps"));
}

#[test]
fn what_the_kernel_refuses() {
    let node = Node::start();
    for (source, part) in [
        (of("array_of_maps", 8, inner("hash", (4, 8, 16), &[])), "the kernel refuses a array_of_maps with keySize 4"),
        (of("hash_of_maps", 4, inner("hash", (0, 8, 16), &[])), "inner: the kernel refuses a hash with keySize 0"),
    ] {
        let wanted = Wanted::new("volume", &node.pod("pod", "maps")).read("kept", source);
        let status = node.publish(&wanted).unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
        assert!(status.message().contains(part), "{part:?} is not in {:?}", status.message());
        assert!(!node.created("kept").exists());
    }
}

/// If the kernel refuses a type of inner map, the error is about the definition, and not internal.
#[test]
fn every_type_is_taken_or_refused_as_a_definition() {
    let node = Node::start_with(&["--network-maps"]);
    for (kind, sizes) in [
        ("lpm_trie", (8, 8, 16)),
        ("percpu_array", (4, 8, 16)),
        ("lru_hash", (4, 8, 16)),
        ("devmap", (4, 4, 16)),
        ("cpumap", (4, 4, 16)),
        ("sockmap", (4, 4, 16)),
        ("sockhash", (4, 4, 16)),
        ("xskmap", (4, 4, 16)),
        ("queue", (0, 8, 16)),
        ("ringbuf", (0, 0, 65536)),
        ("bloom_filter", (0, 8, 16)),
        ("user_ringbuf", (0, 0, 65536)),
    ] {
        let flags = if kind == "lpm_trie" { &["BPF_F_NO_PREALLOC"][..] } else { &[] };
        let mut source = of("array_of_maps", 4, inner(kind, sizes, flags));
        if let Some(bpffs_pinner::api::source::From::Created(created)) = &mut source.from {
            created.name = kind.to_owned();
        }
        let answer = node.publish(&Wanted::new(kind, &node.pod("pod", kind)).read("kept", source));
        let code = answer.as_ref().map_or_else(tonic::Status::code, |_| Code::Ok);
        assert!(matches!(code, Code::Ok | Code::FailedPrecondition), "{kind}: {answer:?}");
    }
}
