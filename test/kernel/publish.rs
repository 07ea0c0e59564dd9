//! Publishing again, publishing with differences, and publishing what must fail.

use std::fs;
use std::path::Path;

use bpffs_pinner::api::Access;
use bpffs_pinner::api::publish_volume_response::Outcome;
use tonic::Code;

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, created, pinned};
use crate::support::{assert_refused, both_ways, mounts};

fn publishing_again_changes_nothing(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let (_limits, limits) = node.map("limits", 2);
    let plain = Wanted::new("plain", &node.target("plain")).read("flows", flows).write("limits", limits);
    let group = Wanted(plain.request()).gid(4711);
    let user = Wanted(plain.request()).gid(4711).in_user_namespace();
    for (name, mut wanted) in [("plain", plain), ("group", group), ("user", user)] {
        node.target(name).to_str().unwrap().clone_into(&mut wanted.0.target_path);
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created, "{name}");
        let before = mounts::snapshot(&node.kubelet);
        for _ in 0..3 {
            assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged, "{name}");
        }
        wanted.0.maps.reverse();
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged, "{name}, in another order");
        assert_eq!(mounts::snapshot(&node.kubelet), before, "{name}");
    }
}

fn publishing_otherwise_is_refused(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let (_limits, limits) = node.map("limits", 2);
    let target = node.target("pod");
    let published = Wanted::new("volume", &target).read("flows", flows.clone()).write("limits", limits.clone()).gid(1);
    node.publish(&published).unwrap();
    let before = mounts::snapshot(&node.kubelet);

    let otherwise = |change: &dyn Fn(&mut Wanted)| {
        let mut wanted = Wanted(published.request());
        change(&mut wanted);
        wanted
    };
    let rename = |index: usize, name: &'static str| {
        otherwise(&move |wanted| name.clone_into(&mut wanted.0.maps[index].file_name))
    };
    let access = |index: usize, access: Access| otherwise(&move |wanted| wanted.0.maps[index].access = access.into());
    for (what, wanted, part) in [
        ("more access", access(0, Access::ReadWrite), "map \"flows\" is read-only (asked for read-write)"),
        ("less access", access(1, Access::ReadOnly), "map \"limits\" is read-write (asked for read-only)"),
        ("another group", otherwise(&|wanted| wanted.0.gid = Some(2)), "fsGroup 1, now asked for fsGroup 2"),
        ("group 0", otherwise(&|wanted| wanted.0.gid = Some(0)), "fsGroup 1, now asked for fsGroup 0"),
        ("no group", otherwise(&|wanted| wanted.0.gid = None), "fsGroup 1, now asked for no fsGroup"),
        ("fewer maps", otherwise(&|wanted| drop(wanted.0.maps.pop())), "file \"limits\" is not asked for"),
        (
            "more maps",
            Wanted(published.request()).read("more", flows.clone()),
            "map \"more\" is not in it (asked for read-only)",
        ),
        ("a renamed map", rename(0, "streams"), "file \"streams\" of map \"flows\" is not in it"),
        (
            "a user namespace",
            Wanted(published.request()).in_user_namespace(),
            "hostUsers \"true\", now asked for hostUsers \"false\"",
        ),
    ] {
        let answer = node.publish(&wanted);
        assert!(answer.is_err(), "{what}");
        assert_refused(answer, Code::AlreadyExists, &[part, target.to_str().unwrap(), "delete the pod"]);
    }
    let other = otherwise(&|wanted| "other".clone_into(&mut wanted.0.volume_id));
    assert_refused(node.publish(&other), Code::AlreadyExists, &["holds another volume, "]);

    assert_eq!(mounts::snapshot(&node.kubelet), before);
    assert_eq!(node.publish(&published).unwrap(), Outcome::Unchanged);
}

fn a_user_namespace_cannot_be_taken_back(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let plain = Wanted::new("volume", &node.target("pod")).read("flows", flows);
    node.publish(&Wanted(plain.request()).in_user_namespace()).unwrap();

    assert_refused(
        node.publish(&plain),
        Code::AlreadyExists,
        &["hostUsers \"false\", now asked for hostUsers \"true\""],
    );
}

fn a_group_of_0_is_not_the_same_as_none(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let without = Wanted::new("volume", &node.target("pod")).read("flows", flows);
    let zero = Wanted(without.request()).gid(0);
    node.publish(&zero).unwrap();

    assert_refused(node.publish(&without), Code::AlreadyExists, &["fsGroup 0, now asked for no fsGroup"]);
    assert_eq!(node.publish(&zero).unwrap(), Outcome::Unchanged);
}

fn a_publish_that_fails_leaves_nothing(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let missing = node.pins.join("missing");
    let target = node.target("pod");
    let wanted = Wanted::new("volume", &target).write("kept", created("kept", "hash")).read("flows", flows);
    let before = mounts::snapshot(&node.root);

    let answer = node.publish(&Wanted(wanted.request()).read("second", pinned(&missing)));

    assert_refused(answer, Code::Unavailable, &["\"second\"", missing.to_str().unwrap()]);
    let without_log = |lines: Vec<String>| lines.into_iter().filter(|line| !line.contains("pinner.log")).collect();
    let (before, after): (Vec<_>, Vec<_>) = (without_log(before), without_log(mounts::snapshot(&node.root)));
    assert_eq!(after, before);
    assert!(!target.exists());
    assert!(!node.created("kept").exists());

    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created);
    assert_eq!(names(&target).len(), 2);
}

fn as_many_maps_as_are_allowed(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let target = node.target("pod");
    let mut wanted = Wanted::new("volume", &target);
    for number in 0..256 {
        let access = if number % 2 == 0 { Access::ReadOnly } else { Access::ReadWrite };
        wanted = wanted.map(&format!("{:-<124}{number:04}", "map"), access, flows.clone());
    }
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created);
    assert_eq!(names(&target).len(), 256);
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);
    node.unpublish("volume", &target).unwrap();
    assert_eq!(mounts::beneath(&node.kubelet), []);
}

fn an_empty_directory_is_used(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let target = node.target("pod");
    fs::create_dir(&target).unwrap();

    assert_eq!(node.publish(&Wanted::new("volume", &target).read("flows", flows)).unwrap(), Outcome::Created);

    assert!(target.join("flows").exists());
    node.unpublish("volume", &target).unwrap();
    assert!(!Path::new(&target).exists());
}

both_ways!(
    publishing_again_changes_nothing,
    publishing_otherwise_is_refused,
    a_user_namespace_cannot_be_taken_back,
    a_group_of_0_is_not_the_same_as_none,
    a_publish_that_fails_leaves_nothing,
    as_many_maps_as_are_allowed,
    an_empty_directory_is_used,
);
