//! Maps that a loader pins in its delegation, given to other pods.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use bpffs_pinner::api;
use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::io::Errno;
use rustix::process::Signal;
use tonic::Code;

use crate::support::node::Node;
use crate::support::pod::{LRU_HASH, Pod, bpffs, create_map, delegation, token, wanted};
use crate::support::wanted::{Wanted, delegated};
use crate::support::{assert_refused, map};

const NO_VOLUME: [&str; 1] = [
    "map \"flows\": there is no delegation \"bpf\" of service account net/loader on this node yet: start a pod of the account \
     here with this volume",
];
const NO_BPFFS: [&str; 1] = [
    "map \"flows\": delegation \"bpf\" of service account net/loader has no bpf filesystem yet: its pod needs the init \
     container bpffs-delegate; if it has one, read its log",
];
const WITHDRAWN: [&str; 1] = [
    "map \"flows\": delegation \"bpf\" of service account net/loader is withdrawn: grant it again, then create its pod again",
];
const NO_PIN: [&str; 1] = [
    "map \"flows\": nothing is pinned at \"flows\" in delegation \"bpf\" of service account net/loader yet: let its loader pin \
     it there, or correct the path",
];

/// `None` on a kernel without tokens.
fn node(test: &str) -> Option<Node> {
    let node = Node::start();
    node.has("delegation", test).then_some(node)
}

/// A map that the pod makes with its token and pins as `flows`, with the element 1.
fn load(pod: &Pod, volume: &Path, value: u64) {
    let load = || {
        let map = create_map(token(volume)?.as_fd(), LRU_HASH)?;
        map::update(map.as_fd(), 1, value)?;
        let pin = bpffs(volume).join("flows");
        map::pin(map.as_fd(), &pin)
    };
    assert_eq!(pod.loads(load), Ok(()));
}

fn value(path: &Path) -> u64 {
    map::lookup(map::open_read_only(path).unwrap().as_fd(), 1).unwrap()
}

#[test]
fn other_pods_read_and_write_what_the_loader_pins() {
    let Some(node) = node("its maps") else { return };
    let (loader, reader, writer) = (node.pod("loader", "bpf"), node.target("reader"), node.target("writer"));
    let source = delegated("loader", "bpf", "flows");
    let read = Wanted::new("csi-r", &reader).read("flows", source.clone());
    assert_refused(node.publish(&read), Code::Unavailable, &NO_VOLUME);
    node.publish_delegation(&wanted("csi-1", &loader, delegation())).unwrap();
    assert_refused(node.publish(&read), Code::Unavailable, &NO_BPFFS);
    let pod = Pod::start();
    assert_eq!(pod.call(&loader), "ok");
    assert_refused(node.publish(&read), Code::Unavailable, &NO_PIN);

    load(&pod, &loader, 7);
    assert_eq!(node.publish(&read).unwrap(), Outcome::Created);
    assert_eq!(value(&reader.join("flows")), 7);
    assert_eq!(map::open_writable(&reader.join("flows")).err(), Some(Errno::ROFS));
    node.publish(&Wanted::new("csi-w", &writer).write("flows", source.clone())).unwrap();
    map::update(map::open_writable(&writer.join("flows")).unwrap().as_fd(), 1, 8).unwrap();
    assert_eq!(value(&bpffs(&loader).join("flows")), 8);
    assert_eq!(node.describe(source).unwrap().r#type, "lru_hash");

    node.unpublish("csi-1", &loader).unwrap();
    assert_refused(
        node.publish(&Wanted::new("csi-2", &node.target("late")).read("flows", delegated("loader", "bpf", "flows"))),
        Code::Unavailable,
        &NO_VOLUME,
    );
    assert_eq!(value(&reader.join("flows")), 8, "a pod that runs keeps it");
}

#[test]
fn a_loader_that_comes_back_replaces_the_map() {
    let Some(node) = node("its maps") else { return };
    let (loader, reader) = (node.pod("loader", "bpf"), node.target("reader"));
    let read = Wanted::new("csi-r", &reader).read("flows", delegated("loader", "bpf", "flows"));
    node.publish_delegation(&wanted("csi-1", &loader, delegation())).unwrap();
    let pod = Pod::start();
    assert_eq!(pod.call(&loader), "ok");
    load(&pod, &loader, 1);
    node.publish(&read).unwrap();
    let renew = read.clone().renew();

    // A new sandbox has another user namespace, and gets another bpffs.
    let again = Pod::start();
    assert_eq!(again.call(&loader), "ok");
    assert_eq!(node.publish(&renew).unwrap(), Outcome::Unchanged, "until it has loaded");
    load(&again, &loader, 2);
    assert_eq!(node.publish(&renew).unwrap(), Outcome::Replaced);
    assert_eq!(value(&reader.join("flows")), 2);

    // So does the next pod, whose volume counts once its helper has called.
    let next = node.pod("next", "bpf");
    node.publish_delegation(&wanted("csi-2", &next, delegation())).unwrap();
    assert_eq!(node.publish(&renew).unwrap(), Outcome::Unchanged);
    let pod = Pod::start();
    assert_eq!(pod.call(&next), "ok");
    load(&pod, &next, 3);
    assert_eq!(node.publish(&renew).unwrap(), Outcome::Replaced);
    assert_eq!(value(&reader.join("flows")), 3);
    node.unpublish("csi-1", &loader).unwrap();
    assert_eq!(node.publish(&renew).unwrap(), Outcome::Unchanged);
}

#[test]
fn of_several_pods_the_text_tells_of_the_one_that_is_nearest_to_a_map() {
    let Some(node) = node("its maps") else { return };
    let [withdrawn, waiting, late] = ["withdrawn", "waiting", "late"].map(|pod| node.pod(pod, "bpf"));
    let read = Wanted::new("csi-r", &node.target("reader")).read("flows", delegated("loader", "bpf", "flows"));
    let refused = |texts: &[&str]| assert_refused(node.publish(&read), Code::Unavailable, texts);
    node.publish_delegation(&wanted("csi-1", &withdrawn, delegation())).unwrap();
    let pod = Pod::start();
    assert_eq!(pod.call(&withdrawn), "ok");
    refused(&NO_PIN);
    node.allow_delegation("csi-1", &withdrawn, false).unwrap();
    refused(&WITHDRAWN);
    node.publish_delegation(&wanted("csi-2", &waiting, delegation())).unwrap();
    refused(&NO_BPFFS);
    node.publish_delegation(&wanted("csi-3", &late, delegation())).unwrap();
    node.allow_delegation("csi-3", &late, false).unwrap();
    refused(&NO_BPFFS);
    node.allow_delegation("csi-1", &withdrawn, true).unwrap();
    assert_eq!(pod.call(&withdrawn), "ok");
    refused(&NO_PIN);
}

#[test]
fn a_volume_is_found_by_its_pods_owner_and_its_name_also_by_the_next_pinner() {
    let Some(mut node) = node("its maps") else { return };
    let loader = node.pod("loader", "bpf");
    node.publish_delegation(&wanted("csi-1", &loader, delegation())).unwrap();
    let pod = Pod::start();
    assert_eq!(pod.call(&loader), "ok");
    load(&pod, &loader, 7);
    let reads = |node: &Node, source| node.publish(&Wanted::new("csi-r", &node.target("reader")).read("flows", source));
    for other in [delegated("other", "bpf", "flows"), delegated("loader", "other", "flows")] {
        assert_refused(reads(&node, other), Code::Unavailable, &["there is no delegation"]);
    }
    node.stop_by(Signal::TERM);
    node.start_pinner(&[]);
    assert_eq!(reads(&node, delegated("loader", "bpf", "flows")).unwrap(), Outcome::Created);
}

#[test]
fn only_a_map_that_the_pod_pinned_itself_is_given() {
    let Some(node) = node("its maps") else { return };
    let loader = node.pod("loader", "bpf");
    node.publish_delegation(&wanted("csi-1", &loader, delegation())).unwrap();
    let pod = Pod::start();
    assert_eq!(pod.call(&loader), "ok");
    load(&pod, &loader, 7);
    let secret = node.root.join("secret");
    let root = bpffs(&loader);
    let links = || {
        for (to, name) in [("flows", "link"), (secret.to_str().unwrap(), "out"), ("..", "up")] {
            symlink(to, root.join(name)).map_err(|error| Errno::from_io_error(&error).unwrap())?;
        }
        fs::create_dir(root.join("directory")).map_err(|error| Errno::from_io_error(&error).unwrap())
    };
    assert_eq!(pod.loads(links), Ok(()));
    let read = |path: &str| {
        node.publish(&Wanted::new("csi-r", &node.target("reader")).read("flows", delegated("loader", "bpf", path)))
    };
    for path in ["link", "out", "up/flows", "up/socket"] {
        assert_refused(read(path), Code::FailedPrecondition, &["symbolic link"]);
    }
    assert_refused(read("directory"), Code::FailedPrecondition, &["is a directory"]);
    assert_refused(read("flows/more"), Code::FailedPrecondition, &["no directory"]);
    assert_eq!(read("flows").unwrap(), Outcome::Created);
}

#[test]
fn what_is_no_owner_is_named() {
    let node = Node::start();
    let target = node.target("reader");
    for (source, field) in [
        (delegated("", "bpf", "flows"), "source.delegated.owner.service_account"),
        (delegated("a/b", "bpf", "flows"), "source.delegated.owner.service_account"),
        (delegated("loader", "", "flows"), "source.delegated.volume"),
        (delegated("loader", "bpf", "../flows"), "source.delegated.path"),
    ] {
        assert_refused(
            node.publish(&Wanted::new("csi-r", &target).read("flows", source)),
            Code::InvalidArgument,
            &[field],
        );
    }
    let unknown = api::PublishDelegationRequest { owner: None, ..wanted("csi-1", &target, delegation()) };
    assert_refused(node.publish_delegation(&unknown), Code::InvalidArgument, &["owner.namespace"]);
}
