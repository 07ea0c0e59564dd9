//! A volume shows the maps that were asked for, and none of another volume.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::node::Node;
use crate::support::wanted::Wanted;
use crate::support::{both_ways, map, unique};

/// The names in a volume, without the kernel's own listings.
pub fn names(volume: &Path) -> BTreeSet<String> {
    fs::read_dir(volume)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !matches!(name.as_str(), "maps.debug" | "progs.debug"))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn two_pods_never_see_each_others_maps(node: &Node) {
    let (_one, one) = node.map("one", 1);
    let (_two, two) = node.map("two", 2);
    let (_both, both) = node.map("both", 3);
    let first = Wanted::new("first", &node.target("pod1")).read("one", one).write("both", both.clone());
    let second = Wanted::new("second", &node.target("pod2")).write("two", two).read("both", both);

    node.publish(&first).unwrap();
    node.publish(&second).unwrap();

    assert_eq!(names(&first.target()), set(&["one", "both"]));
    assert_eq!(names(&second.target()), set(&["two", "both"]));
    let value = |wanted: &Wanted, name: &str| {
        let map = map::open_read_only(&wanted.target().join(name)).unwrap();
        map::lookup(std::os::fd::AsFd::as_fd(&map), 1)
    };
    assert_eq!((value(&first, "one"), value(&first, "both")), (Ok(1), Ok(3)));
    assert_eq!((value(&second, "two"), value(&second, "both")), (Ok(2), Ok(3)));
    assert!(map::open_writable(&second.target().join("both")).is_err());

    node.unpublish("first", &first.target()).unwrap();
    assert_eq!(names(&second.target()), set(&["two", "both"]));
    assert_eq!(value(&second, "both"), Ok(3));
}

fn a_volume_shows_only_what_was_asked_for(node: &Node) {
    let (_asked, asked) = node.map("asked", 1);
    let (_other, _) = node.map("other", 2);
    let shared = crate::support::wanted::created(&unique("kept"), "hash");
    node.publish(&Wanted::new("keeper", &node.target("keeper")).write("kept", shared)).unwrap();

    for (name, in_user_namespace) in [("plain", false), ("user", true)] {
        let wanted = Wanted::new(name, &node.target(name)).read("asked", asked.clone());
        let wanted = if in_user_namespace { wanted.in_user_namespace() } else { wanted };
        node.publish(&wanted).unwrap();
        assert_eq!(names(&wanted.target()), set(&["asked"]));
    }
}

both_ways!(two_pods_never_see_each_others_maps, a_volume_shows_only_what_was_asked_for);
