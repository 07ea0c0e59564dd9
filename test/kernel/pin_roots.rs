//! What the pinner says of the directories that it works in.

use std::fs;

use bpffs_pinner::api::PinRoot;
use rustix::mount::{UnmountFlags, unmount};

use crate::support::mounts;
use crate::support::node::Node;

#[test]
fn pin_roots_are_told_as_they_are_when_asked() {
    let mut node = Node::without_pinner();
    let (plain, missing) = (node.root.join("plain"), node.root.join("missing"));
    fs::create_dir(&plain).unwrap();
    node.start_pinner(&["--pin-root", plain.to_str().unwrap(), "--pin-root", missing.to_str().unwrap()]);
    let root = |path: &std::path::Path, problem: &str| PinRoot {
        path: path.to_str().unwrap().to_owned(),
        bpf_filesystem: problem.is_empty(),
        problem: problem.to_owned(),
    };
    let remedy = |path: &std::path::Path| format!("mount one (mount -t bpf bpf {})", path.display());
    let no_bpffs = format!("is no bpf filesystem: maps of \"pinned\" sources cannot be there; {}", remedy(&plain));
    let absent = format!("does not exist: nothing can be pinned there; create it, and {}", remedy(&missing));

    let told = node.node().unwrap();
    assert_eq!(told.kubelet_dir, node.kubelet.to_str().unwrap());
    assert_eq!(told.pin_roots, [root(&node.pins, ""), root(&plain, &no_bpffs), root(&missing, &absent)]);

    mounts::bpffs(&plain);
    assert_eq!(node.node().unwrap().pin_roots[1], root(&plain, ""));
    unmount(&plain, UnmountFlags::empty()).unwrap();
    assert_eq!(node.node().unwrap().pin_roots[1], root(&plain, &no_bpffs));
}
