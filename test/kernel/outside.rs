//! What shares a volume's filesystem but lies outside the volume, and what is mounted in one pod's workspace only.

use std::fs;
use std::path::Path;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

use crate::layout::debug_files;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace};
use crate::support::{both_ways, map, mounts, skipped};

/// The listings of the host's maps and programs, which some kernels put into every bpffs, are in no volume, however it
/// is bound.
fn listings_of_the_whole_host_lie_outside(node: &Node) {
    let listings = debug_files(node);
    if listings.is_empty() {
        return skipped("listings of the whole host", "this kernel puts none into a bpffs");
    }
    let (_flows, flows) = node.map("flows", 1);
    let (_limits, limits) = node.map("limits", 1);
    let maps = Wanted::new("volume", &node.pod("maps", "maps")).read("flows", flows).write("limits", limits);
    node.publish(&maps).unwrap();
    let workspace = Workspace::new("pv", &node.pod("loader", "pv"));
    node.publish_workspace(&workspace).unwrap();
    for (volume, name) in [(maps.target(), "maps"), (workspace.target(), "workspace")] {
        let (all, alone) = (node.root.join(format!("{name}-all")), node.root.join(format!("{name}-alone")));
        mounts::container_view(&volume, &all);
        fs::create_dir(&alone).unwrap();
        mount_bind(&volume, &alone).unwrap();
        for at in [&volume, &all, &alone, &alone.join("..")] {
            let mut there = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(!there.any(|name| listings.iter().any(|listing| name == *listing)));
            for listing in &listings {
                assert!(fs::symlink_metadata(at.join(listing)).is_err(), "{listing} in {}", at.display());
            }
        }
    }
}

/// A bind mount of the volume without the mounts in it, as for `subPath: .`, gives less: writable maps become
/// read-only, and for a pod with a user namespace only names remain.
fn a_bind_without_what_is_mounted_in_it_has_less(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let (_limits, limits) = node.map("limits", 2);
    let maps = Wanted::new("volume", &node.pod("pod", "maps")).read("flows", flows).write("limits", limits);
    let alone = node.root.join("alone");
    fs::create_dir(&alone).unwrap();
    let bound = |wanted: &Wanted, look: &dyn Fn(&Path)| {
        node.publish(wanted).unwrap();
        mount_bind(wanted.target(), &alone).unwrap();
        look(&alone);
        rustix::mount::unmount(&alone, rustix::mount::UnmountFlags::DETACH).unwrap();
        node.unpublish("volume", &wanted.target()).unwrap();
    };
    bound(&maps, &|alone| {
        for name in ["flows", "limits"] {
            assert!(map::open_read_only(&alone.join(name)).is_ok(), "{name}");
            assert_eq!(map::open_writable(&alone.join(name)).map(drop), Err(rustix::io::Errno::ROFS), "{name}");
        }
    });
    bound(&Wanted(maps.request()).in_user_namespace(), &|alone| {
        for name in ["flows", "limits"] {
            assert_eq!(fs::read(alone.join(name)).unwrap(), b"", "{name}");
            assert!(map::open_read_only(&alone.join(name)).is_err(), "{name}");
        }
    });
}

/// With shared propagation, a mount in one copy would appear in all of them, and vanish from all.
fn what_is_mounted_in_a_workspace_is_in_that_copy_alone(node: &Node) {
    mount_change(&node.root, MountPropagationFlags::SHARED | MountPropagationFlags::REC).unwrap();
    let publish = |pod: &str| {
        let wanted = Workspace::new("pv", &node.pod(pod, "pv"));
        node.publish_workspace(&wanted).unwrap();
        wanted.target()
    };
    let first = publish("first");
    // As if the store, and so the mounts in it, were on a shared mount.
    mount_change(node.kept_at("pv"), MountPropagationFlags::SHARED | MountPropagationFlags::REC).unwrap();
    let second = publish("second");
    fs::create_dir(first.join("directory")).unwrap();
    for mounted in [&first, &second] {
        mounts::tmpfs(&mounted.join("directory"));
        for other in [&first, &second, &node.kept_at("pv")] {
            let expected = if other == mounted { 2 } else { 1 };
            assert_eq!(mounts::beneath(other).len(), expected, "{}", other.display());
        }
        rustix::mount::unmount(mounted.join("directory"), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

both_ways!(
    listings_of_the_whole_host_lie_outside,
    a_bind_without_what_is_mounted_in_it_has_less,
    what_is_mounted_in_a_workspace_is_in_that_copy_alone,
);
