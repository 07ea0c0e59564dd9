//! What a pod can do with a delegation, and what the kernel refuses it.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

use bpffs_pinner::api;
use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::pod::{
    ATTACH_TCX_INGRESS, ATTACH_XDP, LRU_HASH, Pod, QUEUE, SCHED_CLS, XDP, bpffs, create_map, delegation, load_program,
    token, wanted,
};
use crate::support::{map, mounts};

/// A node, and a pod that has this delegation mounted; `None` on a kernel without tokens.
fn delegated(test: &str, delegation: api::Delegation) -> Option<(Node, PathBuf, Pod)> {
    let node = Node::start();
    if !node.has("delegation", test) {
        return None;
    }
    let target = node.target("pod");
    assert_eq!(node.publish_delegation(&wanted("csi-1", &target, delegation)).unwrap(), Outcome::Created);
    let pod = Pod::start();
    assert_eq!(pod.call(&target), "ok");
    Some((node, target, pod))
}

#[test]
fn a_pod_loads_what_is_delegated() {
    let node = Node::start();
    if !node.has("delegation", "a token") {
        return;
    }
    let (target, pod) = (node.target("pod"), Pod::start());
    node.publish_delegation(&wanted("csi-1", &target, delegation())).unwrap();

    let helped = pod.helper(&target);
    assert!(helped.status.success(), "{}", String::from_utf8_lossy(&helped.stderr));

    let seen = bpffs(&target);
    for listing in fs::read_dir(&seen).unwrap().map(|entry| entry.unwrap().path()) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let read = || rustix::fs::open(&listing, flags, Mode::empty()).map(drop);
        assert_eq!(pod.with(CapabilitySet::all(), read), Err(Errno::ACCESS), "{}", listing.display());
        let changed = || rustix::fs::chmod(&listing, Mode::from_raw_mode(0o777));
        assert_eq!(pod.with(CapabilitySet::all(), changed), Err(Errno::PERM), "{}", listing.display());
    }
    let pin = seen.join("flows");
    let load = || {
        let token = token(&target)?;
        let map = create_map(token.as_fd(), LRU_HASH)?;
        map::update(map.as_fd(), 1, 7)?;
        map::pin(map.as_fd(), &pin)?;
        load_program(token.as_fd(), XDP, ATTACH_XDP).map(drop)
    };
    assert_eq!(pod.loads(load), Ok(()));
    assert_eq!(map::lookup(map::open_read_only(&pin).unwrap().as_fd(), 1), Ok(7));
    let stats = node.stats("csi-1", &target).unwrap();
    assert_eq!(stats.maps, 1);
    assert!(stats.memory_bytes > 0);
}

#[test]
fn a_token_takes_cap_bpf_in_the_namespace() {
    let Some((_node, target, pod)) = delegated("CAP_BPF", delegation()) else { return };
    assert_eq!(pod.with(CapabilitySet::NET_ADMIN, || token(&target).map(drop)), Err(Errno::PERM));
    assert_eq!(pod.loads(|| token(&target).map(drop)), Ok(()));
    assert_eq!(Pod::start().loads(|| token(&target).map(drop)), Err(Errno::PERM), "another pod");
}

#[test]
fn another_map_type_is_refused() {
    let Some((_node, target, pod)) = delegated("map types", delegation()) else { return };
    assert_eq!(pod.loads(|| create_map(token(&target)?.as_fd(), QUEUE).map(drop)), Err(Errno::PERM));
    assert_eq!(pod.loads(|| create_map(token(&target)?.as_fd(), LRU_HASH).map(drop)), Ok(()));
}

#[test]
fn another_program_type_is_refused() {
    let mut wider = delegation();
    wider.attach_types.push("tcx_ingress".to_owned());
    let Some((_node, target, pod)) = delegated("program types", wider) else { return };
    let load = |kind, attach| pod.loads(|| load_program(token(&target)?.as_fd(), kind, attach).map(drop));
    assert_eq!(load(SCHED_CLS, ATTACH_TCX_INGRESS), Err(Errno::PERM));
    assert_eq!(load(XDP, ATTACH_XDP), Ok(()));
}

#[test]
fn another_attach_type_is_refused() {
    let mut wider = delegation();
    wider.program_types.push("sched_cls".to_owned());
    let Some((_node, target, pod)) = delegated("attach types", wider) else { return };
    let load = |kind, attach| pod.loads(|| load_program(token(&target)?.as_fd(), kind, attach).map(drop));
    assert_eq!(load(SCHED_CLS, ATTACH_TCX_INGRESS), Err(Errno::PERM));
    assert_eq!(load(XDP, ATTACH_XDP), Ok(()));
}

#[test]
fn another_command_is_refused() {
    let mut narrower = delegation();
    narrower.commands.retain(|command| command != "map_create");
    let Some((_node, target, pod)) = delegated("commands", narrower) else { return };
    assert_eq!(pod.loads(|| create_map(token(&target)?.as_fd(), LRU_HASH).map(drop)), Err(Errno::PERM));
    assert_eq!(pod.loads(|| load_program(token(&target)?.as_fd(), XDP, ATTACH_XDP).map(drop)), Ok(()));
}

#[test]
fn a_new_sandbox_gets_a_new_bpffs_and_nothing_of_the_old_one_stays() {
    let Some((node, target, old)) = delegated("a new sandbox", delegation()) else { return };
    let pinned = || {
        let map = create_map(token(&target)?.as_fd(), LRU_HASH)?;
        map::pin(map.as_fd(), &bpffs(&target).join("flows"))
    };
    assert_eq!(old.loads(pinned), Ok(()));
    let before = mounts::at(&bpffs(&target));

    let new = Pod::start();
    assert_eq!(new.call(&target), "ok");

    let after = mounts::at(&bpffs(&target));
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);
    assert!(names(&bpffs(&target)).is_empty());
    assert_eq!(new.loads(|| token(&target).map(drop)), Ok(()));
    assert_eq!(old.loads(|| token(&target).map(drop)), Err(Errno::PERM));
    assert_eq!(node.describe_volume("csi-1", &target).unwrap().generations, 1);
}
