//! Everything that could carry the descriptor of a read-only map to somebody who writes the map: what is a carrier and
//! never allowed beside such a map, and why the rest is none.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use bpffs_pinner::api::publish_volume_response::Outcome;
use bpffs_pinner::api::{Access, CreatedMap, InnerMap, file_change};
use bpffs_pinner::sys::bpf::{self, MapDefinition};
use bpffs_pinner::sys::path::through_descriptor;
use rustix::io::Errno;
use tonic::Code;

use crate::support::map::Attributes;
use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::{Wanted, Workspace, defined, pinned};
use crate::support::{assert_refused, both_ways, map, mounts, program, skipped, unique};

const REFUSED: Code = Code::FailedPrecondition;
const ARRAY_OF_MAPS: u32 = 12;
const HASH_OF_MAPS: u32 = 13;

/// A map of maps, for hash maps with 16 elements.
fn of_maps(kind: u32, name: &str) -> OwnedFd {
    let definition = MapDefinition { kind, key_size: 4, value_size: 4, max_entries: 4, flags: 0, name };
    bpf::create_map_of_maps(definition, map::create(map::HASH, "pattern", 0).as_fd()).unwrap()
}

/// Two volumes: one with `policy` read-only, the other with `outer` writable.
fn apart(node: &Node, pod: &str, other_pod: &str) -> (Wanted, Wanted) {
    for name in ["policy", "outer"] {
        if !node.pins.join(name).exists() {
            let made = if name == "policy" { map::hash(name, 7) } else { of_maps(HASH_OF_MAPS, name) };
            node.pin(name, made.as_fd());
        }
    }
    let source = |name: &str| pinned(&node.pins.join(name));
    let policy = Wanted::new("policy", &node.pod(pod, "policy")).read("policy", source("policy"));
    (policy, Wanted::new("outer", &node.pod(other_pod, "outer")).write("outer", source("outer")))
}

/// Puts the map pinned at `inner` into the one pinned at `outer`.
fn put(inner: &Path, outer: &Path) -> Result<(), Errno> {
    let (inner, outer) = (map::open_read_only(inner)?, map::open_writable(outer)?);
    map::update(outer.as_fd(), 1, u64::from(inner.as_raw_fd().cast_unsigned()))
}

/// What the two together allow, shown by one process with the volumes of two pods. The program belongs to the loader.
#[test]
fn a_map_of_maps_carries_descriptors() {
    let node = Node::start();
    if !node.has("unprivileged-maps", "a map in a map of maps by a process without CAP_BPF") {
        return;
    }
    for kind in [ARRAY_OF_MAPS, HASH_OF_MAPS] {
        let (policy, outer) = (map::hash("policy", 7), of_maps(kind, "outer"));
        node.pin(&format!("policy{kind}"), policy.as_fd());
        node.pin(&format!("outer{kind}"), outer.as_fd());
        let source = |name: &str| pinned(&node.pins.join(format!("{name}{kind}")));
        let one = Wanted::new("one", &node.pod(&format!("one{kind}"), "maps")).read("policy", source("policy"));
        let two = Wanted::new("two", &node.pod(&format!("two{kind}"), "maps")).write("outer", source("outer"));
        node.publish(&one).unwrap();
        node.publish(&two).unwrap();
        let (one, two) = (one.target().join("policy"), two.target().join("outer"));
        let of_the_loader = program::inner_writer(&unique("loader"), outer.as_fd(), 666).unwrap();

        User::NOBODY.run(|| {
            assert_eq!(map::open_writable(&one).map(drop).unwrap_err(), Errno::ROFS);
            assert_eq!(put(&one, &two), Ok(()), "{kind}");
        });
        program::run(of_the_loader.as_fd()).unwrap();

        assert_eq!(map::lookup(policy.as_fd(), 1), Ok(666), "{kind}");
    }
}

/// A read-only map of maps takes nothing.
#[test]
fn a_map_of_maps_to_read_carries_nothing() {
    let node = Node::start();
    let (mut policy, outer) = apart(&node, "pod", "pod");
    policy.0.maps.extend(outer.0.maps);
    policy.0.maps[1].access = Access::ReadOnly.into();
    assert_eq!(node.publish(&policy).unwrap(), Outcome::Created);
    let [inner, outer] = ["policy", "outer"].map(|name| map::open_read_only(&policy.target().join(name)).unwrap());
    let descriptor = u64::from(inner.as_raw_fd().cast_unsigned());
    assert_eq!(map::update(outer.as_fd(), 1, descriptor), Err(Errno::PERM));
    assert_eq!(map::update_batch(outer.as_fd()), Err(Errno::PERM));
}

fn a_map_of_maps_to_write_is_refused_beside_a_map_to_read(node: &Node) {
    let (policy, outer) = apart(node, "pod", "pod");
    let parts = ["\"policy\"", "\"outer\"", ":rw", "two pods"];
    for first_to_read in [true, false] {
        let mut both = if first_to_read { policy.clone() } else { outer.clone() };
        both.0.maps.extend(if first_to_read { outer.0.maps.clone() } else { policy.0.maps.clone() });
        for both in [both.clone(), Wanted(both.request()).in_user_namespace()] {
            let before = mounts::snapshot(&node.kubelet);
            assert_refused(node.publish(&both), REFUSED, &parts);
            assert_eq!(mounts::snapshot(&node.kubelet), before);
        }
        for in_user_namespace in [false, true] {
            let (mut first, mut second) = (policy.clone(), outer.clone());
            first.0.user_namespace = in_user_namespace;
            second.0.user_namespace = in_user_namespace;
            if !first_to_read {
                (first, second) = (second, first);
            }
            node.publish(&first).unwrap();
            let before = mounts::snapshot(&node.kubelet);
            let target = first.target();
            let parts = [":rw", "two pods", "policy", "of maps", target.to_str().unwrap()];
            assert_refused(node.publish(&second), REFUSED, &parts);
            assert_eq!(mounts::snapshot(&node.kubelet), before);
            node.unpublish(&first.0.volume_id, &first.target()).unwrap();
        }
    }
    let (_, elsewhere) = apart(node, "pod", "another pod");
    node.publish(&policy).unwrap();
    assert_eq!(node.publish(&elsewhere).unwrap(), Outcome::Created);
}

/// Two carriers may be together, also with a writable map.
fn carriers_carry_nothing_of_each_other(node: &Node) {
    let (_, outer) = apart(node, "pod", "pod");
    let (_limits, limits) = node.map("limits", 1);
    let outer = outer.write("limits", limits);
    assert_eq!(node.publish_workspace(&Workspace::new("pv", &node.pod("pod", "pv"))).unwrap(), Outcome::Created);
    assert_eq!(node.publish(&outer).unwrap(), Outcome::Created);
    assert_eq!(node.publish(&outer).unwrap(), Outcome::Unchanged);
}

/// A volume never becomes a carrier: a process may hold the descriptor of a map that only the first generation had.
fn no_renewal_makes_a_carrier(node: &Node) {
    let (policy, _) = apart(node, "pod", "pod");
    let limits = node.pin("limits", map::hash("limits", 1).as_fd());
    let wanted = policy.write("limits", limits).renew();
    node.publish(&wanted).unwrap();
    fs::remove_file(node.pins.join("limits")).unwrap();
    node.pin("limits", of_maps(ARRAY_OF_MAPS, "limits").as_fd());

    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);

    let limits = wanted.target().join("limits");
    assert!(map::open_read_only(&limits).is_ok());
    assert_eq!(map::open_writable(&limits).map(drop), Err(Errno::ROFS));
    // Not even without its read-only map.
    let mut alone = wanted.clone();
    alone.0.maps.remove(0);
    assert_eq!(node.publish(&alone).unwrap(), Outcome::Replaced);
    assert_eq!(map::open_writable(&limits).map(drop), Err(Errno::ROFS));
    assert_eq!(node.publish(&alone).unwrap(), Outcome::Unchanged);
}

fn no_renewal_gives_a_carrier_a_map_to_read(node: &Node) {
    let (_, outer) = apart(node, "pod", "pod");
    let (_limits, limits) = node.map("limits", 1);
    let mut wanted = outer.write("limits", limits).renew();
    node.publish(&wanted).unwrap();
    wanted.0.maps[1].access = Access::ReadOnly.into();

    let answer = node.publish_whole(&wanted).unwrap();

    let changes: Vec<_> = answer.changes.iter().map(|change| (change.path.as_str(), change.kind())).collect();
    assert_eq!(changes, [("limits", file_change::Kind::Removed)]);
    assert!(!wanted.target().join("limits").exists());
    // Not even once the map of maps is read-only: the pod may have it open for writing.
    wanted.0.maps[0].access = Access::ReadOnly.into();
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);
    assert_eq!(fs::read_dir(wanted.target()).unwrap().filter(|entry| is_map(entry.as_ref().unwrap())).count(), 0);
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);
    let (policy, _) = apart(node, "pod", "pod");
    assert_refused(node.publish(&policy), REFUSED, &["with a map of maps to write", ":rw"]);
}

fn is_map(entry: &fs::DirEntry) -> bool {
    map::open_read_only(&entry.path()).is_ok()
}

both_ways!(
    a_map_of_maps_to_write_is_refused_beside_a_map_to_read,
    carriers_carry_nothing_of_each_other,
    no_renewal_makes_a_carrier,
    no_renewal_gives_a_carrier_a_map_to_read,
);

/// A map of maps that the pinner would create is refused before it is created.
#[test]
fn no_map_of_maps_is_made_for_a_volume_that_must_not_have_it() {
    let node = Node::start();
    let (policy, _) = apart(&node, "pod", "pod");
    let inner = InnerMap { r#type: "hash".to_owned(), key_size: 4, value_size: 8, max_entries: 16, flags: Vec::new() };
    let (name, r#type) = ("made".to_owned(), "array_of_maps".to_owned());
    let (key_size, value_size, max_entries, inner) = (4, 4, 4, Some(inner));
    let made = defined(CreatedMap { name, r#type, key_size, value_size, max_entries, inner, ..Default::default() });
    assert_refused(node.publish(&policy.write("made", made)), REFUSED, &["\"policy\"", "\"made\""]);
    assert!(!node.created("made").exists());
}

/// Whether a map stays although no descriptor of it is open. The kernel frees a map shortly after its last reference is
/// gone.
pub fn is_held(id: u32) -> bool {
    (0..200).all(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        bpf::map_by_id(id).unwrap().is_some()
    })
}

/// No other type that is handed out and holds descriptors takes a map's, not even from root.
#[test]
fn no_other_type_of_map_takes_the_descriptor_of_a_map() {
    let policy = map::hash("policy", 7);
    let descriptor = policy.as_raw_fd().cast_unsigned();
    // For a devmap and a cpumap, a device or queue length, then the descriptor; for the others, only the descriptor.
    for (kind, value) in [
        ("prog_array", vec![descriptor]),
        ("perf_event_array", vec![descriptor]),
        ("cgroup_array", vec![descriptor]),
        ("devmap", vec![1, descriptor]),
        ("devmap_hash", vec![1, descriptor]),
        ("sockmap", vec![descriptor]),
        ("sockhash", vec![descriptor]),
        ("cpumap", vec![192, descriptor]),
        ("xskmap", vec![descriptor]),
        ("reuseport_sockarray", vec![descriptor]),
    ] {
        let value_size = u32::try_from(value.len() * 4).unwrap();
        let Some(holder) = create(kind, 4, value_size) else { continue };
        let key = 0_u32;
        let answer = Attributes::new().fd(0, holder.as_fd()).pointer(8, &key).pointer(16, &value[..]).call(2);
        assert!(answer.is_err(), "{kind} took a map");
    }
}

/// The values of these are bytes: a descriptor's number, and not a reference.
#[test]
fn a_number_in_a_map_is_no_descriptor() {
    for (kind, key_size) in [
        ("hash", 4),
        ("array", 4),
        ("lru_hash", 4),
        ("percpu_array", 4),
        ("queue", 0),
        ("stack", 0),
        ("bloom_filter", 0),
    ] {
        let policy = map::hash("policy", 7);
        let (id, value) = (map::id(policy.as_fd()), [u64::from(policy.as_raw_fd().cast_unsigned()); 64]);
        let Some(holder) = create(kind, key_size, 8) else { continue };
        let key = 0_u32;
        let mut attributes = Attributes::new().fd(0, holder.as_fd()).pointer(16, &value);
        if key_size > 0 {
            attributes = attributes.pointer(8, &key);
        }
        attributes.call(2).unwrap();
        drop(policy);
        assert!(!is_held(id), "{kind}");
    }
    // Shows that the check sees a reference.
    let (policy, outer) = (map::hash("policy", 7), of_maps(ARRAY_OF_MAPS, "outer"));
    let id = map::id(policy.as_fd());
    map::update(outer.as_fd(), 1, u64::from(policy.as_raw_fd().cast_unsigned())).unwrap();
    drop(policy);
    assert!(bpf::map_by_id(id).unwrap().is_some());
}

/// A descriptor used as a key selects a value and is not kept.
#[test]
fn a_descriptor_as_a_key_is_not_kept() {
    let types = integers();
    for kind in ["sk_storage", "inode_storage", "task_storage", "cgrp_storage"] {
        let policy = map::hash("policy", 7);
        let (id, key, value) = (map::id(policy.as_fd()), policy.as_raw_fd().cast_unsigned(), [7_u32]);
        // With BPF_F_NO_PREALLOC, which these types need.
        let made = Attributes::new().int(0, number(kind)).int(4, 4).int(8, 4).int(16, 1);
        let Ok(holder) = made.fd(48, types.as_fd()).int(52, 1).int(56, 1).open(0) else {
            skipped(kind, "this kernel makes none");
            continue;
        };
        // All descriptors of maps share one inode, which inode_storage accepts; the others refuse the key.
        let answer = Attributes::new().fd(0, holder.as_fd()).pointer(8, &key).pointer(16, &value).call(2);
        assert!(kind == "inode_storage" || answer.is_err(), "{kind}");
        drop(policy);
        assert!(!is_held(id), "{kind}");
    }
}

/// No system call puts values into these: they are memory, shared with programs.
#[test]
fn rings_and_arenas_take_nothing() {
    let policy = map::hash("policy", 7);
    let value = [u64::from(policy.as_raw_fd().cast_unsigned())];
    for (kind, entries, flags) in [("ringbuf", 4096, 0), ("user_ringbuf", 4096, 0), ("arena", 1, 1 << 10)] {
        let made = Attributes::new().int(0, number(kind)).int(12, entries).int(16, flags).open(0);
        let Ok(holder) = made else {
            skipped(kind, "this kernel makes none");
            continue;
        };
        let key = 0_u32;
        let answer = Attributes::new().fd(0, holder.as_fd()).pointer(8, &key).pointer(16, &value).call(2);
        assert!(answer.is_err(), "{kind}");
    }
}

/// A bound program does not use the map, but a source `loaded` finds the map by it. So programs are never handed out.
#[test]
fn only_a_program_is_bound_to_a_map() {
    let node = Node::start();
    let policy = map::hash("policy", 7);
    let program = program::idle(&unique("idle"));
    if program::bind(program.as_fd(), policy.as_fd()) == Err(Errno::INVAL) {
        return skipped("binding a map to a program", "this kernel does not");
    }
    assert!(program::bind(policy.as_fd(), policy.as_fd()).is_err());
    let source = node.pin("program", program.as_fd());
    let wanted = Wanted::new("volume", &node.target("pod")).read("program", source);
    assert_refused(node.publish(&wanted), REFUSED, &["is the pin of a program"]);
}

/// A duplicate of a descriptor, or its path in /proc, has no more rights.
#[test]
fn a_descriptor_for_reading_stays_one() {
    let node = Node::start();
    let (policy, _) = apart(&node, "pod", "pod");
    node.publish(&policy).unwrap();
    let map = map::open_read_only(&policy.target().join("policy")).unwrap();
    let copy = map.try_clone().unwrap();
    assert_eq!(map::update(copy.as_fd(), 1, 666), Err(Errno::PERM));
    for open in [bpf::open_pin, bpf::open_pin_writable] {
        assert!(open(&through_descriptor(map.as_fd(), c"")).is_err());
    }
    let path = format!("/proc/self/fd/{}", map.as_raw_fd());
    assert!(fs::File::options().read(true).write(true).open(path).is_err());
}

fn number(kind: &str) -> u32 {
    (1..64).find(|&number| bpffs_pinner::map_type::name(number) == kind).unwrap()
}

/// A map of this type with 4 elements; `None`, reported as skipped, if this kernel does not know it.
fn create(kind: &str, key_size: u32, value_size: u32) -> Option<OwnedFd> {
    let definition =
        MapDefinition { kind: number(kind), key_size, value_size, max_entries: 4, flags: 0, name: "holder" };
    let made = bpf::create_map(definition);
    made.map_err(|error| skipped(kind, &error.to_string())).ok()
}

/// BTF with one type, an `int`: <https://docs.kernel.org/bpf/btf.html>
fn integers() -> OwnedFd {
    const BTF_LOAD: i32 = 18;
    let words: [u32; 10] = [0x1_eb9f, 24, 0, 16, 16, 5, 1, 1 << 24, 4, 1 << 24 | 32];
    let mut btf: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    btf.extend(b"\0int\0");
    let size = u32::try_from(btf.len()).unwrap();
    Attributes::new().pointer(0, &btf[..]).int(16, size).open(BTF_LOAD).unwrap()
}
