//! Renewing the volume of a running pod: its access changes, and a map whose source is gone stays.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use bpffs_pinner::api::Access;
use bpffs_pinner::api::file_change::Kind;
use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::io::Errno;
use tonic::Code;

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, pinned};
use crate::support::{assert_refused, both_ways, map, mounts};

both_ways!(
    maps_and_access_come_and_go,
    what_is_not_there_stays_and_what_never_was_stays_out,
    a_volume_may_lose_all_its_maps_and_get_them_back,
);

fn changes(node: &Node, wanted: &Wanted) -> Vec<(String, Kind)> {
    let answer = node.publish_whole(wanted).unwrap();
    let changes: Vec<_> = answer.changes.iter().map(|change| (change.path.clone(), change.kind())).collect();
    let expected = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Replaced };
    assert_eq!(answer.outcome(), expected);
    changes
}

fn value(target: &Path) -> u64 {
    map::lookup(map::open_read_only(&target.join("flows")).unwrap().as_fd(), 1).unwrap()
}

fn maps_and_access_come_and_go(node: &Node) {
    let target = node.target("pod");
    let [flows, limits] = ["flows", "limits"].map(|name| node.map(name, 1).1);
    let volume = || Wanted::new("volume", &target).renew();
    let whole = volume().read("flows", flows.clone()).write("limits", limits.clone());
    assert_eq!(node.publish(&whole).unwrap(), Outcome::Created);
    assert_eq!(changes(node, &whole), []);

    let closed = volume().read("flows", flows.clone()).read("limits", limits.clone());
    assert_eq!(changes(node, &closed), [("limits".to_owned(), Kind::MadeReadOnly)]);
    assert_eq!(map::open_writable(&target.join("limits")).unwrap_err(), Errno::ROFS);
    let fewer = volume().read("limits", limits);
    assert_eq!(changes(node, &fewer), [("flows".to_owned(), Kind::Removed)]);
    assert_eq!(names(&target), BTreeSet::from(["limits".to_owned()]));
    let mut back = changes(node, &whole);
    back.sort_unstable_by_key(|(path, _)| path.clone());
    assert_eq!(back, [("flows".to_owned(), Kind::Added), ("limits".to_owned(), Kind::MadeWritable)]);
    assert!(map::open_writable(&target.join("limits")).is_ok());

    // Without `renew`, a difference is an error.
    let strict = Wanted::new("volume", &target).read("flows", flows);
    assert_refused(node.publish(&strict), Code::AlreadyExists, &["limits"]);
    // Renewal never changes the group or the layout.
    assert_refused(node.publish(&whole.clone().gid(2000)), Code::AlreadyExists, &["no fsGroup"]);
    assert_refused(node.publish(&whole.in_user_namespace()), Code::AlreadyExists, &["hostUsers \"true\""]);
    node.unpublish("volume", &target).unwrap();
    assert!(mounts::beneath(&target).is_empty());
}

fn what_is_not_there_stays_and_what_never_was_stays_out(node: &Node) {
    let target = node.target("pod");
    let (_, flows) = node.map("flows", 1);
    let volume = || Wanted::new("volume", &target).renew();
    let later = pinned(&node.pins.join("later"));
    let wanted = volume().read("flows", flows.clone()).read("later", later);
    assert_refused(node.publish(&wanted), Code::Unavailable, &["later"]);
    node.publish(&volume().read("flows", flows)).unwrap();

    fs::remove_file(node.pins.join("flows")).unwrap();
    let answer = node.publish_whole(&wanted).unwrap();
    assert_eq!((answer.outcome(), answer.changes.len()), (Outcome::Unchanged, 0));
    let refusals: Vec<_> = answer.refusals.iter().map(|refusal| (refusal.name.as_str(), refusal.code)).collect();
    let unavailable = i32::from(Code::Unavailable);
    assert_eq!(refusals, [("flows", unavailable), ("later", unavailable)]);
    assert!(answer.refusals[0].message.starts_with("map \"flows\": nothing is pinned at "), "{:?}", answer.refusals);
    assert_eq!(changes(node, &volume().map("flows", Access::ReadOnly, None)), []);
    node.map("later", 1);
    assert_eq!(changes(node, &wanted), [("later".to_owned(), Kind::Added)]);
    assert_eq!(names(&target), BTreeSet::from(["flows".to_owned(), "later".to_owned()]));
    assert_eq!(value(&target), 1);

    node.map("flows", 2);
    assert_eq!(changes(node, &wanted), [("flows".to_owned(), Kind::MapReplaced)]);
    assert_eq!(value(&target), 2);
}

fn a_volume_may_lose_all_its_maps_and_get_them_back(node: &Node) {
    let target = node.target("pod");
    let (_, flows) = node.map("flows", 1);
    let volume = || Wanted::new("volume", &target).renew();
    assert_refused(node.publish(&volume()), Code::InvalidArgument, &["maps", "new volume"]);
    let unknown = volume().map("flows", Access::ReadOnly, None);
    assert_refused(node.publish(&unknown), Code::InvalidArgument, &["source", "flows"]);
    assert!(!target.exists());

    let whole = volume().read("flows", flows);
    node.publish(&whole).unwrap();
    assert_eq!(changes(node, &volume()), [("flows".to_owned(), Kind::Removed)]);
    assert!(names(&target).is_empty());
    assert_eq!(changes(node, &whole), [("flows".to_owned(), Kind::Added)]);
}
