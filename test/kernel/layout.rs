//! What a volume looks like: modes, owners, mounts, and what the pinner reports of it.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::{Wanted, created, loaded};
use crate::support::{both_ways, map, mounts, unique};

const GROUP: u32 = 4711;

/// Publishes `flows` read-only and `limits` writable.
fn publish(node: &Node, change: impl FnOnce(Wanted) -> Wanted) -> Wanted {
    let (_flows, flows) = node.map("flows", 1);
    let (_limits, limits) = node.map("limits", 2);
    let wanted = change(Wanted::new("volume-1", &node.target("pod")).read("flows", flows).write("limits", limits));
    node.publish(&wanted).unwrap();
    wanted
}

/// Mode, uid and gid of the directory and of the two files.
fn look(volume: &Path) -> [(u32, u32, u32); 3] {
    [volume.to_owned(), volume.join("flows"), volume.join("limits")].map(|path| {
        let stat = fs::metadata(path).unwrap();
        (stat.mode() & 0o7777, stat.uid(), stat.gid())
    })
}

fn with_a_group(node: &Node) {
    let wanted = publish(node, |wanted| wanted.gid(GROUP));
    assert_eq!(look(&wanted.target()), [(0o550, 0, GROUP), (0o440, 0, GROUP), (0o660, 0, GROUP)]);
}

fn without_a_group(node: &Node) {
    let wanted = publish(node, |wanted| wanted);
    assert_eq!(look(&wanted.target()), [(0o555, 0, 0), (0o444, 0, 0), (0o666, 0, 0)]);
}

fn for_a_user_namespace(node: &Node) {
    let wanted = publish(node, |wanted| wanted.gid(GROUP).in_user_namespace());
    assert_eq!(look(&wanted.target()), [(0o550, 0, GROUP), (0o444, 0, 0), (0o666, 0, 0)]);
}

fn for_a_user_namespace_without_a_group(node: &Node) {
    let wanted = publish(node, Wanted::in_user_namespace);
    assert_eq!(look(&wanted.target()), [(0o555, 0, 0), (0o444, 0, 0), (0o666, 0, 0)]);
}

fn only_the_group_gets_in(node: &Node) {
    if !node.has("unprivileged-maps", "maps by group") {
        return;
    }
    let wanted = publish(node, |wanted| wanted.gid(GROUP));
    let open =
        |gid, name| User { gid, ..User::NOBODY }.run(|| map::open_writable(&wanted.target().join(name)).map(drop));
    assert_eq!(open(GROUP, "limits"), Ok(()));
    assert!(open(GROUP + 1, "limits").is_err());
    assert!(open(GROUP, "flows").is_err());
}

fn mounts_are_named_and_restricted(node: &Node) {
    let wanted = publish(node, |wanted| wanted);
    check_mounts(node, &wanted.target(), "bpf", 1 + 1);
}

fn mounts_for_a_user_namespace_are_named_and_restricted(node: &Node) {
    let wanted = publish(node, Wanted::in_user_namespace);
    check_mounts(node, &wanted.target(), "tmpfs", 1 + 2);
}

fn check_mounts(node: &Node, target: &Path, filesystem: &str, number: usize) {
    let mounted = mounts::beneath(target);
    assert_eq!(mounted.len(), number, "{mounted:#?}");
    for mount in &mounted {
        // A pod's user namespace would lock these on its mount, and runc fails when it cannot clear them.
        let is_carrier = mount.filesystem == "tmpfs" && Path::new(&mount.target) == target;
        for option in ["nosuid", "nodev", "noexec"] {
            assert_eq!(mount.options.split(',').any(|set| set == option), !is_carrier, "{option}: {mount:?}");
        }
        let is_writable = mount.super_options.split(',').any(|set| set == "rw");
        assert_eq!(is_writable, mount.target.ends_with("limits"), "{mount:?}");
    }
    assert_eq!(mounted[0].filesystem, filesystem);
    if !node.shows_sources("the source of a mount") {
        return;
    }
    assert_eq!(mounted[0].source, "csi-bpffs:volume-1");
}

/// The files that this kernel puts into every bpffs.
pub fn debug_files(node: &Node) -> Vec<&'static str> {
    ["maps.debug", "progs.debug"].into_iter().filter(|name| node.pins.join(name).exists()).collect()
}

fn statistics_are_the_sum_of_the_maps(node: &Node) {
    let kept = created(&unique("kept"), "array");
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows.clone()).write("kept", kept.clone());
    node.publish(&wanted).unwrap();

    let stats = node.stats("volume", &wanted.target()).unwrap();

    let sum = node.describe(flows).unwrap().memory_bytes + node.describe(kept).unwrap().memory_bytes;
    assert_eq!((stats.maps, stats.memory_bytes), (2, sum));
    assert!(sum > 0);
    let code = |id: &str, target: &Path| node.stats(id, target).map_err(|status| status.code());
    assert_eq!(code("volume", &node.target("nobody")), Err(tonic::Code::NotFound));
    assert_eq!(code("other", &wanted.target()), Err(tonic::Code::NotFound));
}

fn volumes_are_listed(node: &Node) {
    assert_eq!(node.list(), []);
    let (_flows, flows) = node.map("flows", 1);
    let one = Wanted::new("one", &node.target("pod1")).write("flows", flows.clone());
    let two = Wanted::new("two", &node.target("pod 2")).read("flows", flows).in_user_namespace();
    node.publish(&one).unwrap();
    node.publish(&two).unwrap();

    let mut listed = node.list();

    listed.sort_by_key(|(_, target)| target.clone());
    let targets: Vec<_> = listed.iter().map(|(_, target)| target.clone()).collect();
    assert_eq!(targets, [two.target(), one.target()]);
    if node.shows_sources("ids of listed volumes") {
        let ids: Vec<_> = listed.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["two", "one"]);
    }
    node.unpublish("one", &one.target()).unwrap();
    assert_eq!(node.list().len(), 1);
}

both_ways!(
    with_a_group,
    without_a_group,
    for_a_user_namespace,
    for_a_user_namespace_without_a_group,
    only_the_group_gets_in,
    mounts_are_named_and_restricted,
    mounts_for_a_user_namespace_are_named_and_restricted,
    statistics_are_the_sum_of_the_maps,
    volumes_are_listed,
);

#[test]
fn a_map_is_described_whatever_its_source() {
    let node = Node::start();
    let name = unique("flows");
    let flows = map::hash(&name, 1);
    for source in [node.pin("flows", flows.as_fd()), loaded(&name, "", "")] {
        let described = node.describe(source).unwrap();
        assert_eq!(described.id, map::id(flows.as_fd()));
        assert_eq!(described.name, name);
        assert_eq!(described.r#type, "hash");
        assert_eq!((described.key_size, described.value_size, described.max_entries), (4, 8, 16));
        assert_eq!(described.flags, 0);
        assert!(described.memory_bytes > 0);
    }
}

#[test]
fn describing_a_map_creates_none() {
    let node = Node::start();
    let source = created("kept", "lpm_trie");
    assert_eq!(node.describe(source.clone()).unwrap_err().code(), tonic::Code::Unavailable);
    assert!(!node.created("kept").exists());

    let source = created("kept", "percpu_hash");
    node.publish(&Wanted::new("volume", &node.target("pod")).read("kept", source.clone())).unwrap();

    let described = node.describe(source).unwrap();
    assert_eq!((described.name.as_str(), described.r#type.as_str()), ("kept", "percpu_hash"));
}

#[test]
fn a_node_says_what_its_kernel_can_do() {
    let node = Node::start().node().unwrap();
    assert_eq!(node.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(node.kernel_release, rustix::system::uname().release().to_str().unwrap());
    let names: Vec<_> = node.features.iter().map(|feature| feature.name.as_str()).collect();
    let known = [
        "read-only-superblock",
        "unprivileged-maps",
        "compose-detached",
        "mount-source",
        "mount-beneath",
        "delegation",
    ];
    assert_eq!(names, known);
    for feature in node.features {
        assert!(feature.available || !feature.required, "{feature:?}");
        assert!(!feature.description.is_empty(), "{feature:?}");
    }
}
