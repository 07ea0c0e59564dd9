//! Maps that the pinner creates and keeps.

use std::ffi::CString;
use std::os::fd::AsFd;

use bpffs_pinner::api::CreatedMap;
use bpffs_pinner::map_type;
use bpffs_pinner::request::{Created, Shape, Source};
use bpffs_pinner::source::{IfAbsent, Sources};
use bpffs_pinner::store::Store;
use bpffs_pinner::sys::bpf::{MapDefinition, create_map};
use rustix::process::Signal;
use rustix::thread::CapabilitySet;
use tonic::{Code, Status};

use crate::sources_pinned::assert_unusable;
use crate::support::node::{NO_LIMITS, Node};
use crate::support::user::User;
use crate::support::wanted::{Wanted, created, defined};
use crate::support::{map, skipped};

fn definition(name: &str, kind: &str, sizes: (u32, u32, u32), flags: &[&str]) -> CreatedMap {
    let (key_size, value_size, max_entries) = sizes;
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let (name, r#type) = (name.to_owned(), kind.to_owned());
    CreatedMap { name, r#type, key_size, value_size, max_entries, flags, ..CreatedMap::default() }
}

#[test]
fn one_map_is_made_for_all_and_outlives_them() {
    let mut node = Node::start();
    let [one, two] = ["one", "two"].map(|name| {
        let wanted = Wanted::new(name, &node.target(name)).write("kept", created("kept-map", "hash"));
        node.publish(&wanted).unwrap();
        wanted
    });
    let open = |wanted: &Wanted| map::open_writable(&wanted.target().join("kept")).unwrap();
    map::update(open(&one).as_fd(), 1, 42).unwrap();
    assert_eq!(map::lookup(open(&two).as_fd(), 1), Ok(42));
    assert_eq!(map::id(open(&one).as_fd()), map::id(open(&two).as_fd()));

    for wanted in [&one, &two] {
        node.unpublish(&wanted.0.volume_id, &wanted.target()).unwrap();
    }
    node.stop_by(Signal::KILL);
    node.start_pinner(&[]);

    node.publish(&one).unwrap();
    assert_eq!(map::lookup(open(&one).as_fd(), 1), Ok(42));
    assert_eq!(node.describe(created("kept-map", "hash")).unwrap().name, "kept_map");
}

#[test]
fn another_definition_is_refused_and_says_what_differs() {
    let node = Node::start();
    let sizes = (4, 8, 16);
    let wanted = |definition| Wanted::new("volume", &node.target("keeper")).read("kept", defined(definition));
    node.publish(&wanted(definition("kept", "hash", sizes, &["BPF_F_NO_PREALLOC"]))).unwrap();
    for (kind, sizes, flags, part) in [
        ("array", sizes, &["BPF_F_NO_PREALLOC"][..], "type hash, not array"),
        ("hash", (8, 8, 16), &["BPF_F_NO_PREALLOC"], "keySize 4, not 8"),
        ("hash", (4, 4, 16), &["BPF_F_NO_PREALLOC"], "valueSize 8, not 4"),
        ("hash", (4, 8, 17), &["BPF_F_NO_PREALLOC"], "maxEntries 16, not 17"),
        ("hash", sizes, &[], "flags 1, not 0"),
    ] {
        let other = defined(definition("kept", kind, sizes, flags));
        let pin = node.created("kept");
        assert_unusable(&node, &other, Code::FailedPrecondition, &[part, pin.to_str().unwrap()]);
    }
}

/// The kernel rounds the number up, so it differs from what was asked for.
#[test]
fn another_number_of_entries_is_refused_of_lists_for_each_cpu() {
    let node = Node::start();
    let flags = &["BPF_F_NO_COMMON_LRU"];
    let wanted = |entries| defined(definition("kept", "lru_hash", (4, 8, entries), flags));
    node.publish(&Wanted::new("volume", &node.target("keeper")).read("kept", wanted(1000))).unwrap();
    for entries in [500, 2000] {
        assert_unusable(&node, &wanted(entries), Code::FailedPrecondition, &[&format!(", not {entries}")]);
    }
}

#[test]
fn what_the_kernel_refuses() {
    let node = Node::start();
    for (kind, sizes, flags, part) in [
        ("hash", (0, 8, 16), &[][..], "the kernel refuses a hash with keySize 0, valueSize 8, maxEntries 16"),
        ("array", (8, 8, 16), &[], "the kernel refuses a array with keySize 8"),
        ("ringbuf", (0, 0, 5), &[], "the kernel refuses a ringbuf"),
        ("lpm_trie", (8, 8, 16), &[], "the kernel refuses a lpm_trie"),
        ("hash", (4, 8, 16), &["BPF_F_MMAPABLE"], "flags 0x400"),
    ] {
        let source = defined(definition("kept", kind, sizes, flags));
        let wanted = Wanted::new("volume", &node.target("pod")).read("kept", source);
        let status = node.publish(&wanted).unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
        assert!(status.message().contains(part), "{part:?} is not in {:?}", status.message());
        assert!(!node.created("kept").exists());
    }
}

#[test]
fn definitions_that_are_malformed() {
    let node = Node::start();
    let sizes = (4, 8, 16);
    let known = "hash, array, percpu_hash";
    for (definition, parts) in [
        (definition("kept", "table", sizes, &[]), &["source.created.type: \"table\" is none of", known][..]),
        (
            definition("kept", "struct_ops", sizes, &[]),
            &["source.created.type: \"struct_ops\" is not made by the driver: who writes it replaces functions"],
        ),
        (
            definition("kept", "task_storage", sizes, &[]),
            &["source.created.type: \"task_storage\" is not made by the driver: it takes more", "BTF", "name that pin"],
        ),
        (definition("kept", "", sizes, &[]), &["source.created.type: "]),
        (definition("kept", "hash", sizes, &["NO_PREALLOC"]), &["source.created.flags: \"NO_PREALLOC\" is none of"]),
        (definition("", "hash", sizes, &[]), &["source.created.name: must have 1 to 128 characters"]),
        (definition("a/b", "hash", sizes, &[]), &["source.created.name: '/'"]),
        (definition("..", "hash", sizes, &[]), &["source.created.name: '.'"]),
        (definition(&"x".repeat(129), "hash", sizes, &[]), &["source.created.name: must have 1 to 128 characters"]),
    ] {
        assert_unusable(&node, &defined(definition), Code::InvalidArgument, parts);
    }
}

/// A type, its number, and sizes and flags that suit it.
type Sample = (&'static str, u32, (u32, u32, u32), &'static [&'static str]);

const SAMPLES: [Sample; 18] = [
    ("hash", 1, (4, 8, 16), &[]),
    ("array", 2, (4, 8, 16), &["BPF_F_MMAPABLE"]),
    ("percpu_hash", 5, (4, 8, 16), &["BPF_F_NO_PREALLOC"]),
    ("percpu_array", 6, (4, 8, 16), &[]),
    ("lru_hash", 9, (4, 8, 16), &["BPF_F_NO_COMMON_LRU"]),
    ("lru_percpu_hash", 10, (4, 8, 1), &["BPF_F_NO_COMMON_LRU"]),
    ("lpm_trie", 11, (8, 8, 16), &["BPF_F_NO_PREALLOC"]),
    ("devmap", 14, (4, 4, 16), &[]),
    ("sockmap", 15, (4, 4, 16), &[]),
    ("cpumap", 16, (4, 4, 16), &[]),
    ("xskmap", 17, (4, 4, 16), &[]),
    ("sockhash", 18, (4, 4, 16), &[]),
    ("queue", 22, (0, 8, 16), &[]),
    ("stack", 23, (0, 8, 16), &[]),
    ("devmap_hash", 25, (4, 4, 16), &[]),
    ("ringbuf", 27, (0, 0, 65536), &[]),
    ("bloom_filter", 30, (0, 8, 16), &[]),
    ("user_ringbuf", 31, (0, 0, 65536), &[]),
];

fn flag_bits(flags: &[&str]) -> u32 {
    flags.iter().map(|flag| map_type::flag_by_name(flag).unwrap()).sum()
}

/// Whether this kernel creates such a map for a process with all capabilities.
fn is_made_here((name, kind, sizes, flags): Sample) -> bool {
    let (key_size, value_size, max_entries) = sizes;
    let definition = MapDefinition { kind, key_size, value_size, max_entries, flags: flag_bits(flags), name };
    create_map(definition).map_err(|error| skipped(name, &format!("this kernel makes none: {error}"))).is_ok()
}

#[test]
fn each_type_can_be_made() {
    let node = Node::start_with(&["--network-maps"]);
    for sample in SAMPLES {
        if !is_made_here(sample) {
            continue;
        }
        let (kind, _, sizes, flags) = sample;
        let source = defined(definition(kind, kind, sizes, flags));
        for volume in [format!("{kind}-1"), format!("{kind}-2")] {
            node.publish(&Wanted::new(&volume, &node.target(&volume)).read(kind, source.clone())).unwrap();
        }
        assert_eq!(node.describe(source).unwrap().r#type, kind);
    }
}

/// Linux 6.9 introduced `bpf_token_capable()`, which accepts `CAP_SYS_ADMIN` instead of any other capability.
/// <https://github.com/torvalds/linux/blob/v6.9/kernel/bpf/token.c>
#[test]
fn network_maps_are_made_without_the_flag_since_6_9() {
    let node = Node::start();
    let kernel = rustix::system::uname();
    let mut release = kernel.release().to_str().unwrap().split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let is_new = (release.next(), release.next()) >= (Some(6), Some(9));
    let source = |kind| defined(definition(kind, kind, (4, 4, 16), &[]));
    for kind in ["devmap", "sockmap", "xskmap"] {
        let published = node.publish(&Wanted::new(kind, &node.target(kind)).read(kind, source(kind)));
        assert_eq!(published.is_ok(), is_new, "{kind}: {published:?}");
        let Err(refused) = published else { continue };
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        assert!(refused.message().contains("CAP_NET_ADMIN"), "{refused:?}");
    }
}

/// Calls the store as a user with neither capability, because of that.
#[test]
fn a_type_that_takes_another_capability_says_which() {
    let node = Node::without_pinner();
    let store = Store::open_or_mount(node.store.clone(), NO_LIMITS).unwrap();
    let sources = Sources::new(Vec::new(), store);
    let user = User::root_with(CapabilitySet::BPF | CapabilitySet::DAC_OVERRIDE);
    for sample in SAMPLES {
        let (name, kind, (key_size, value_size, max_entries), flags) = sample;
        if !is_made_here(sample) {
            continue;
        }
        let shape = Shape { kind, key_size, value_size, max_entries, flags: flag_bits(flags) };
        let name_in_store = CString::new(name).unwrap();
        let wanted = Source::Created(Created { volume_id: None, name: name_in_store, shape, inner: None });
        let made = user.run(|| sources.resolve(&wanted, IfAbsent::Create, |_| unreachable!()).map(drop));
        let is_for_networks = ["devmap", "devmap_hash", "sockmap", "sockhash", "xskmap"].contains(&name);
        assert_eq!(made.is_err(), is_for_networks, "{name}: {made:?}");
        let Err(error) = made else { continue };
        let status = Status::from(error);
        assert_eq!(status.code(), Code::FailedPrecondition, "{name}: {status:?}");
        for part in ["EPERM", "CAP_NET_ADMIN", "--network-maps"] {
            assert!(status.message().contains(part), "{name}: {part} is not in {:?}", status.message());
        }
    }
}

#[test]
fn every_creatable_type_is_tested() {
    let mut tested: Vec<_> = SAMPLES.iter().map(|(kind, ..)| *kind).collect();
    let names = map_type::creatable_inner_names();
    let mut creatable: Vec<_> = names.split(", ").collect();
    tested.sort_unstable();
    creatable.sort_unstable();
    assert_eq!(tested, creatable);
}
