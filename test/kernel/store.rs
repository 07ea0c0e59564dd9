//! The store is always the pinner's own, whatever is mounted at its path, and is mounted again after an unmount.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use tonic::Code;

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace, created, created_for};
use crate::support::{assert_refused, both_ways, map, mounts};

fn id(pin: &Path) -> u32 {
    map::id(map::open_read_only(pin).unwrap().as_fd())
}

/// A map of the node and one of a persistent volume, each in a pod, and a workspace with a map.
fn keep(node: &Node) -> (Wanted, Wanted, Workspace) {
    let inline = Wanted::new("inline", &node.pod("pod", "inline")).write("flows", created("flows", "hash"));
    let shared = Wanted::new("maps", &node.pod("pod", "maps")).write("flows", created_for("maps", "flows", "hash"));
    let workspace = Workspace::new("pv", &node.pod("pod", "pv"));
    node.publish(&inline).unwrap();
    node.publish(&shared).unwrap();
    node.publish_workspace(&workspace).unwrap();
    map::pin(map::hash("flows", 7).as_fd(), &workspace.target().join("flows")).unwrap();
    (inline, shared, workspace)
}

fn a_store_that_is_unmounted_is_there_again(node: &Node) {
    let (inline, shared, workspace) = keep(node);
    let ids = [&inline, &shared].map(|wanted| id(&wanted.target().join("flows")));
    node.unpublish("pv", &workspace.target()).unwrap();
    for round in 0..3 {
        unmount(&node.store, UnmountFlags::DETACH).unwrap();
        assert!(names(&node.store).is_empty(), "{round}");
        // Whichever call comes first, it finds the old store.
        match round {
            0 => assert_eq!(node.kept(), ["maps", "pv"]),
            1 => assert_eq!(node.describe(created("flows", "hash")).unwrap().id, ids[0]),
            _ => assert_eq!(node.publish_workspace(&workspace).unwrap(), Outcome::Created),
        }
        assert_eq!([id(&node.created("flows")), id(&node.kept_at("maps").join("flows"))], ids);
        let own = mounts::beneath(&node.store);
        assert_eq!(own.len(), 2, "{own:#?}");
    }
    assert_eq!(names(&workspace.target()).into_iter().collect::<Vec<_>>(), ["flows"]);
    let other = Wanted::new("other", &node.pod("other", "other")).write("flows", created("flows", "hash"));
    node.publish(&other).unwrap();
    assert_eq!(id(&other.target().join("flows")), ids[0]);
    node.unpublish("pv", &workspace.target()).unwrap();
    node.unpublish("maps", &shared.target()).unwrap();
    for kept in ["maps", "pv"] {
        node.release(kept).unwrap();
    }
    assert_eq!(mounts::beneath(&node.store).len(), 1);
}

fn a_store_that_is_covered_is_on_top_again(node: &Node) {
    let (inline, ..) = keep(node);
    mounts::bpffs(&node.store);
    fs::create_dir_all(node.store.join("created")).unwrap();
    let again = Wanted::new("again", &node.pod("other", "again")).write("flows", created("flows", "hash"));
    node.publish(&again).unwrap();
    assert_eq!(id(&again.target().join("flows")), id(&inline.target().join("flows")));
    assert_eq!(node.kept(), ["maps", "pv"]);
}

both_ways!(a_store_that_is_unmounted_is_there_again, a_store_that_is_covered_is_on_top_again);

/// Its maps would pass for maps that the pinner created.
#[test]
fn a_bpffs_that_is_not_the_pinners_is_not_the_store() {
    for (what, source, mode) in [("another's", "other", c"mode=0700"), ("an open one", "csi-bpffs-store", c"mode=0777")]
    {
        let mut node = Node::without_pinner();
        mount(source, &node.store, "bpf", MountFlags::empty(), mode).unwrap();
        if what == "another's" && mounts::at(&node.store)[0].source == "none" {
            crate::support::skipped("telling another bpffs from the store", "this kernel shows no source of a bpffs");
            continue;
        }
        fs::create_dir(node.store.join("created")).unwrap();
        let foreign = map::hash("flows", 1);
        map::pin(foreign.as_fd(), &node.created("flows")).unwrap();
        node.start_pinner(&[]);
        let wanted = Wanted::new("volume", &node.pod("pod", "volume")).write("flows", created("flows", "hash"));
        node.publish(&wanted).unwrap();
        assert_ne!(id(&wanted.target().join("flows")), map::id(foreign.as_fd()), "{what}");
        // The pinner recognizes its own store.
        node.stop_by(Signal::KILL);
        node.start_pinner(&[]);
        assert_eq!(mounts::at(&node.store).len(), 2, "{what}");
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged, "{what}");
    }
}

#[test]
fn a_map_of_the_node_is_given_up_once_no_volume_has_it() {
    let mut node = Node::start();
    let (inline, shared, _) = keep(&node);
    let old = id(&inline.target().join("flows"));
    let target = inline.target();
    let parts = ["map \"flows\" is in the volume", target.to_str().unwrap(), "end the pod"];
    assert_refused(node.release_map("flows"), Code::Unavailable, &parts);
    node.unpublish("inline", &target).unwrap();
    for _ in 0..2 {
        node.release_map("flows").unwrap();
        assert!(!node.created("flows").exists());
    }
    // The persistent volume's map of that name stays.
    assert!(node.kept_at("maps").join("flows").exists());
    node.publish(&inline).unwrap();
    assert_ne!(id(&target.join("flows")), old);
    for (name, part) in [("", "name: must have 1 to 128 characters"), ("../volumes", "name: '.'"), ("a/b", "name: '/'")]
    {
        assert_refused(node.release_map(name), Code::InvalidArgument, &[part]);
    }
    node.unpublish("maps", &shared.target()).unwrap();
    node.stop_by(Signal::TERM);
}
