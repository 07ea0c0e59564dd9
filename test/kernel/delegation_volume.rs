//! Delegations as volumes: published again, beside others, after a restart, and removed.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use bpffs_pinner::api;
use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::Signal;
use tonic::Code;

use crate::support::node::Node;
use crate::support::pod::{Pod, bpffs, connect, delegation, token, wanted};
use crate::support::wanted::{Wanted, Workspace};
use crate::support::{assert_refused, eventually, mounts};

/// `None` on a kernel without tokens.
fn node(test: &str) -> Option<Node> {
    let node = Node::start();
    node.has("delegation", test).then_some(node)
}

#[test]
fn published_again_it_stays_and_another_is_refused() {
    let Some(node) = node("idempotency") else { return };
    let target = node.target("pod");
    let asked = api::PublishDelegationRequest { request: "one".to_owned(), ..wanted("csi-1", &target, delegation()) };
    assert_eq!(node.publish_delegation(&asked).unwrap(), Outcome::Created);
    assert_eq!(Pod::start().call(&target), "ok");
    let before = mounts::snapshot(&target);

    let mut other_order = asked.clone();
    other_order.delegation.as_mut().unwrap().commands.reverse();
    for same in [&asked, &other_order] {
        assert_eq!(node.publish_delegation(same).unwrap(), Outcome::Unchanged);
    }
    let mut wider = asked.clone();
    wider.delegation.as_mut().unwrap().map_types.push("hash".to_owned());
    assert_refused(node.publish_delegation(&wider), Code::AlreadyExists, &["another delegation"]);
    let changed = api::PublishDelegationRequest { request: "two".to_owned(), ..asked.clone() };
    assert_refused(node.publish_delegation(&changed), Code::AlreadyExists, &["another request"]);
    let renamed = api::PublishDelegationRequest { volume_id: "csi-2".to_owned(), ..asked.clone() };
    assert_refused(node.publish_delegation(&renamed), Code::AlreadyExists, &["csi-1"]);
    let (_flows, flows) = node.map("flows", 7);
    let maps = Wanted::new("csi-1", &target).write("flows", flows);
    for maps in [maps.clone(), maps.clone().in_user_namespace(), maps.renew()] {
        assert_refused(node.publish(&maps), Code::AlreadyExists, &["delegation"]);
    }
    let workspace = Workspace::new("csi-1", &target);
    assert_refused(node.publish_workspace(&workspace), Code::AlreadyExists, &["delegation"]);
    assert_refused(node.unpublish("csi-2", &target), Code::FailedPrecondition, &["another volume", "csi-1"]);
    assert_eq!(mounts::snapshot(&target), before);
}

#[test]
fn what_is_no_delegation_is_named() {
    let Some(node) = node("names") else { return };
    let target = node.target("pod");
    let with = |change: &dyn Fn(&mut api::Delegation)| {
        let mut delegation = delegation();
        change(&mut delegation);
        node.publish_delegation(&wanted("csi-1", &target, delegation))
    };
    let field = |name: &str| ["delegation.".to_owned() + name, "\"any\"".to_owned()];
    let any = || vec!["any".to_owned()];
    for (answer, name) in [
        (with(&|delegation| delegation.commands = any()), "commands"),
        (with(&|delegation| delegation.map_types = any()), "map_types"),
        (with(&|delegation| delegation.program_types = any()), "program_types"),
        (with(&|delegation| delegation.attach_types = any()), "attach_types"),
    ] {
        assert_refused(answer, Code::InvalidArgument, &field(name).each_ref().map(String::as_str));
    }
    assert_refused(with(&|delegation| delegation.commands.clear()), Code::InvalidArgument, &["delegation.commands"]);
    assert_eq!(mounts::beneath(&node.kubelet), []);
}

/// The first service has no delegator, as on such a kernel; the second one has it unless this is such a kernel.
#[test]
fn a_kernel_without_tokens_is_named() {
    let node = Node::start();
    let real = (!node.has("delegation", "delegations")).then_some(node);
    for node in [Some(Node::composing_in_namespace()), real].into_iter().flatten() {
        let answer = node.publish_delegation(&wanted("csi-1", &node.target("pod"), delegation()));
        let kernel = rustix::system::uname();
        assert_refused(answer, Code::FailedPrecondition, &[kernel.release().to_str().unwrap(), "6.9"]);
        assert_eq!(mounts::beneath(&node.kubelet), []);
    }
}

#[test]
fn it_is_described_as_what_it_is() {
    let Some(node) = node("descriptions") else { return };
    let target = node.target("pod");
    node.publish_delegation(&wanted("csi-1", &target, delegation())).unwrap();
    let described = node.describe_volume("csi-1", &target).unwrap();
    assert_eq!((described.kind(), described.workspace), (api::VolumeKind::Delegation, false));
    assert_eq!((described.delegation.clone(), described.delegated), (Some(delegation()), false));
    assert_eq!((described.files.len(), described.generations), (0, 1));
    assert_eq!(node.stats("csi-1", &target).unwrap().maps, 0);
    assert_eq!(node.list(), [("csi-1".to_owned(), target.clone())]);

    assert_eq!(Pod::start().call(&target), "ok");
    assert!(node.describe_volume("csi-1", &target).unwrap().delegated);
    assert_eq!(node.list().len(), 1);
}

#[test]
fn maps_to_read_are_refused_beside_it() {
    let Some(node) = node("carriers") else { return };
    let (target, maps) = (node.pod("pod", "loader"), node.pod("pod", "maps"));
    let (_flows, flows) = node.map("flows", 7);
    node.publish_delegation(&wanted("csi-1", &target, delegation())).unwrap();
    let read = Wanted::new("csi-2", &maps).read("flows", flows.clone());
    for read in [read.clone(), read.clone().in_user_namespace()] {
        let parts = ["the delegation \"csi-1\"", target.to_str().unwrap(), "flows", ":rw"];
        assert_refused(node.publish(&read), Code::FailedPrecondition, &parts);
    }
    assert_eq!(mounts::beneath(&maps), []);

    let write = Wanted::new("csi-2", &maps).write("flows", flows);
    assert_eq!(node.publish(&write).unwrap(), Outcome::Created);
    let elsewhere = Wanted(api::PublishVolumeRequest {
        target_path: node.pod("another", "maps").to_str().unwrap().to_owned(),
        ..read.0
    });
    assert_eq!(node.publish(&elsewhere).unwrap(), Outcome::Created);
}

#[test]
fn it_is_refused_beside_maps_to_read() {
    let Some(node) = node("carriers") else { return };
    let (target, maps) = (node.pod("pod", "loader"), node.pod("pod", "maps"));
    let (_flows, flows) = node.map("flows", 7);
    let read = Wanted::new("csi-2", &maps).read("flows", flows);
    for read in [read.clone(), read.in_user_namespace()] {
        node.publish(&read).unwrap();
        let answer = node.publish_delegation(&wanted("csi-1", &target, delegation()));
        assert_refused(answer, Code::FailedPrecondition, &["csi-2", "read-only map \"flows\"", "delegation", ":rw"]);
        assert_eq!(mounts::beneath(&target), []);
        node.unpublish("csi-2", &maps).unwrap();
    }
    assert_eq!(node.publish_delegation(&wanted("csi-1", &target, delegation())).unwrap(), Outcome::Created);
}

#[test]
fn a_pinner_that_starts_again_serves_what_is_there() {
    let Some(mut node) = node("a restart") else { return };
    let (called, waiting) = (node.target("called"), node.target("waiting"));
    for (id, target) in [("csi-1", &called), ("csi-2", &waiting)] {
        node.publish_delegation(&wanted(id, target, delegation())).unwrap();
    }
    let first = Pod::start();
    assert_eq!(first.call(&called), "ok");
    let before = mounts::at(&bpffs(&called));

    node.stop_by(Signal::KILL);
    eventually(|| connect(&waiting, SocketFlags::CLOEXEC).err() == Some(Errno::CONNREFUSED));
    node.start_pinner(&[]);

    assert_eq!(mounts::at(&bpffs(&called)), before, "what a pod has stays");
    assert_eq!(first.loads(|| token(&called).map(drop)), Ok(()));
    for target in [&called, &waiting] {
        let pod = Pod::start();
        assert!(pod.helper(target).status.success());
        assert_eq!(pod.loads(|| token(target).map(drop)), Ok(()));
        assert_eq!(mounts::at(&target.join("socket")).len(), 1);
    }
    node.publish_delegation(&wanted("csi-2", &waiting, delegation())).unwrap();
}

#[test]
fn a_withdrawn_one_gives_no_token_any_more_until_it_is_allowed_again() {
    let Some(mut node) = node("withdrawal") else { return };
    let target = node.target("pod");
    // The list first: it waits for a pinner that starts.
    let seen =
        |node: &Node| (node.list().len(), mounts::at(&bpffs(&target)).len(), mounts::at(&target.join("socket")).len());
    assert_refused(node.allow_delegation("csi-1", &target, false), Code::NotFound, &[target.to_str().unwrap()]);
    node.publish_delegation(&wanted("csi-1", &target, delegation())).unwrap();
    node.allow_delegation("csi-1", &target, true).unwrap();
    assert_refused(node.allow_delegation("csi-2", &target, false), Code::NotFound, &[target.to_str().unwrap()]);
    let pod = Pod::start();
    assert_eq!(pod.call(&target), "ok");

    for _ in 0..2 {
        node.allow_delegation("csi-1", &target, false).unwrap();
        assert_eq!(seen(&node), (1, 0, 0));
        assert!(connect(&target, SocketFlags::CLOEXEC).is_err());
    }
    node.stop_by(Signal::KILL);
    node.start_pinner(&[]);
    assert_eq!(seen(&node), (1, 0, 0), "nor after a restart");

    node.allow_delegation("csi-1", &target, true).unwrap();
    assert_eq!(pod.call(&target), "ok");
    assert_eq!(pod.loads(|| token(&target).map(drop)), Ok(()));
    node.unpublish("csi-1", &target).unwrap();
    assert_eq!(mounts::beneath(&node.kubelet), []);
}

#[test]
fn unpublished_it_leaves_nothing() {
    let Some(node) = node("unpublish") else { return };
    let target = node.target("pod");
    for is_called in [false, true] {
        node.publish_delegation(&wanted("csi-1", &target, delegation())).unwrap();
        let held = node.root.join(format!("held-{is_called}"));
        let socket = rustix::fs::open(target.join("socket"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        fs::create_dir(&held).unwrap();
        symlink(format!("/proc/self/fd/{}", socket.as_raw_fd()), held.join("socket")).unwrap();
        if is_called {
            assert_eq!(Pod::start().call(&target), "ok");
        }
        assert_eq!(connect(&held, SocketFlags::CLOEXEC).map(drop), Ok(()));

        node.unpublish("csi-1", &target).unwrap();
        assert_eq!(mounts::beneath(&node.kubelet), []);
        assert!(!target.exists());
        assert_eq!(connect(&held, SocketFlags::CLOEXEC).map(drop), Err(Errno::CONNREFUSED));
        node.unpublish("csi-1", &target).unwrap();
    }
    assert_eq!(node.list(), []);
}
