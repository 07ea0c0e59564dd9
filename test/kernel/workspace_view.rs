//! A workspace published read-only: a volume with the maps that are pinned in it now.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bpffs_pinner::api::Access;
use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::io::Errno;
use tonic::Code;

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::Workspace;
use crate::support::{assert_refused, both_ways, map, mounts, program, skipped};

const GROUP: u32 = 4711;

/// The directory of the workspace `pv` in the pod that loads maps.
fn loader(node: &Node) -> PathBuf {
    let wanted = Workspace::new("pv", &node.pod("loader", "pv"));
    node.publish_workspace(&wanted).unwrap();
    wanted.target()
}

fn view(node: &Node) -> Workspace {
    Workspace::new("pv", &node.pod("reader", "pv")).read_only()
}

/// Pins a new map at a path in a workspace.
fn pin(directory: &Path, path: &str, value: u64) -> OwnedFd {
    let map = map::hash("map", value);
    let pin = directory.join(path);
    fs::create_dir_all(pin.parent().unwrap()).unwrap();
    map::pin(map.as_fd(), &pin).unwrap();
    map
}

fn value(pin: &Path) -> Result<u64, Errno> {
    map::lookup(map::open_read_only(pin)?.as_fd(), 1)
}

/// The paths of all files in a volume.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for name in names(directory) {
        let path = directory.join(&name);
        if path.is_dir() {
            files.extend(self::files(&path).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            files.insert(name);
        }
    }
    files
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn maps_are_shown_where_they_are(node: &Node) {
    let directory = loader(node);
    for (path, value) in [("flows", 1), ("agent/flows", 2), ("agent/deep/er/limits", 3), ("other/limits", 4)] {
        pin(&directory, path, value);
    }
    fs::create_dir(directory.join("empty")).unwrap();
    let wanted = view(node);
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Created);

    let target = wanted.target();
    assert_eq!(files(&target), set(&["flows", "agent/flows", "agent/deep/er/limits", "other/limits"]));
    assert_eq!(value(&target.join("flows")), Ok(1));
    assert_eq!(value(&target.join("agent/flows")), Ok(2));
    assert_eq!(value(&target.join("agent/deep/er/limits")), Ok(3));
    assert!(!target.join("empty").exists());
    let stats = node.stats("pv", &target).unwrap();
    assert_eq!(stats.maps, 4);
    let mut listed: Vec<_> = node.list().into_iter().map(|(_, target)| target).collect();
    listed.sort();
    assert_eq!(listed, [directory.clone(), target.clone()]);

    // They are the loader's own maps, not copies.
    map::update(map::open_writable(&directory.join("flows")).unwrap().as_fd(), 1, 9).unwrap();
    assert_eq!(value(&target.join("flows")), Ok(9));
    node.unpublish("pv", &target).unwrap();
    assert!(!target.exists());
    assert_eq!(files(&directory).len(), 4);
}

fn nothing_in_it_can_be_written(node: &Node) {
    let directory = loader(node);
    pin(&directory, "flows", 1);
    pin(&directory, "agent/limits", 1);
    let wanted = view(node);
    node.publish_workspace(&wanted).unwrap();
    let seen = node.root.join("view");
    mounts::container_view(&wanted.target(), &seen);
    for user in [User::strongest_held(), User::NOBODY, User::loader(65534)] {
        user.run(|| {
            for path in ["flows", "agent/limits"] {
                let refused = map::open_writable(&seen.join(path)).unwrap_err();
                assert!(matches!(refused, Errno::ROFS | Errno::ACCESS | Errno::PERM), "{path}: {refused:?}");
            }
            for inside in ["", "agent"] {
                let here = seen.join(inside);
                let new = here.join("new");
                let closed = |error: std::io::Error| {
                    matches!(Errno::from_io_error(&error), Some(Errno::ROFS | Errno::ACCESS | Errno::PERM))
                };
                assert!(fs::create_dir(&new).is_err_and(closed));
                assert!(symlink("x", &new).is_err_and(closed));
            }
            assert!(fs::rename(seen.join("agent"), seen.join("new")).is_err());
            assert!(fs::remove_file(seen.join("agent/limits")).is_err());
            if user.uid != 65534 || !user.capabilities.is_empty() {
                let Ok(flows) = map::open_read_only(&seen.join("flows")) else { return };
                for path in ["new", "agent/new"] {
                    assert!(map::pin(flows.as_fd(), &seen.join(path)).is_err(), "{path}");
                }
            }
        });
    }
    assert_eq!(value(&directory.join("flows")), Ok(1));
}

fn modes_are_those_of_a_volume(node: &Node) {
    pin(&loader(node), "agent/deep/flows", 1);
    let with = Workspace::new("pv", &node.pod("with", "pv")).read_only().gid(GROUP);
    let without = view(node);
    for (wanted, directory, file, gid) in [(&with, 0o550, 0o440, GROUP), (&without, 0o555, 0o444, 0)] {
        node.publish_workspace(wanted).unwrap();
        let look = |path: &str| {
            let stat = fs::metadata(wanted.target().join(path)).unwrap();
            (stat.mode() & 0o7777, stat.uid(), stat.gid())
        };
        for path in ["", "agent", "agent/deep"] {
            assert_eq!(look(path), (directory, 0, gid), "{path:?}");
        }
        assert_eq!(look("agent/deep/flows"), (file, 0, gid));
    }
    let wanted = Workspace(with.0.clone()).gid(GROUP + 1);
    assert_refused(node.publish_workspace(&wanted), Code::AlreadyExists, &["fsGroup 4711, now asked for fsGroup 4712"]);
    let writable = Workspace::new("pv", &with.target());
    assert_refused(node.publish_workspace(&writable), Code::AlreadyExists, &["was published before with maps"]);
}

fn what_is_no_map_is_left_out(node: &Node) {
    let directory = loader(node);
    pin(&directory, "agent/flows", 1);
    let (jumps, stacks) = (map::create(map::PROG_ARRAY, "jumps", 0), map::create(map::STACK_TRACE, "stacks", 0));
    map::pin(jumps.as_fd(), &directory.join("jumps")).unwrap();
    map::pin(stacks.as_fd(), &directory.join("agent/stacks")).unwrap();
    map::pin(program::idle("idle").as_fd(), &directory.join("program")).unwrap();
    match program::link() {
        Ok(link) => map::pin(link.as_fd(), &directory.join("agent/link")).unwrap(),
        Err(errno) => skipped("a link in a workspace", &format!("this kernel makes none: {errno}")),
    }
    for (link, to) in
        [("symlink", "agent/flows"), ("linked", "agent"), ("up", ".."), ("agent/loop", "../agent"), ("dangling", "x")]
    {
        symlink(to, directory.join(link)).unwrap();
    }
    let outside = node.root.join("outside");
    fs::create_dir(&outside).unwrap();
    mounts::bpffs(&outside);
    pin(&outside, "secret", 1);
    symlink(outside.join("secret"), directory.join("secret")).unwrap();
    symlink(&outside, directory.join("secrets")).unwrap();

    let wanted = view(node);
    node.publish_workspace(&wanted).unwrap();

    assert_eq!(files(&wanted.target()), set(&["agent/flows"]));
    assert_eq!(names(&wanted.target()), set(&["agent"]));
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Unchanged);
}

fn it_is_renewed_when_the_maps_change(node: &Node) {
    let wanted = view(node);
    // Before any loader has started or anything is pinned.
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Created);
    assert_eq!(files(&wanted.target()), set(&[]));
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Unchanged);
    let directory = loader(node);
    let renew = |files: &[&str]| {
        assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Replaced);
        assert_eq!(self::files(&wanted.target()), set(files));
        let before = mounts::snapshot(&node.kubelet);
        assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Unchanged);
        assert_eq!(mounts::snapshot(&node.kubelet), before);
    };
    pin(&directory, "flows", 1);
    renew(&["flows"]);
    pin(&directory, "agent/flows", 2);
    renew(&["flows", "agent/flows"]);
    // Another map under the same name.
    fs::remove_file(directory.join("flows")).unwrap();
    pin(&directory, "flows", 3);
    renew(&["flows", "agent/flows"]);
    assert_eq!(value(&wanted.target().join("flows")), Ok(3));
    // The same map under another name.
    fs::rename(directory.join("flows"), directory.join("streams")).unwrap();
    renew(&["streams", "agent/flows"]);
    fs::rename(directory.join("agent"), directory.join("loader")).unwrap();
    renew(&["streams", "loader/flows"]);
    fs::remove_file(directory.join("streams")).unwrap();
    fs::remove_file(directory.join("loader/flows")).unwrap();
    renew(&[]);
    assert!(mounts::at(&wanted.target()).len() <= 2);
    node.unpublish("pv", &wanted.target()).unwrap();
    assert_eq!(mounts::at(&wanted.target()), []);
}

fn names_of_any_bytes(node: &Node) {
    let directory = loader(node);
    let name = OsStr::from_bytes(b"\xff \n\\");
    fs::create_dir(directory.join(name)).unwrap();
    map::pin(map::hash("map", 5).as_fd(), &directory.join(name).join(name)).unwrap();
    let long = "x".repeat(255);
    pin(&directory, &format!("{long}/{long}"), 6);

    let wanted = view(node);
    node.publish_workspace(&wanted).unwrap();

    assert!(wanted.target().join(name).join(name).exists());
    assert_eq!(value(&wanted.target().join(&long).join(&long)), Ok(6));
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Unchanged);
    let described = node.describe_volume("pv", &wanted.target()).unwrap();
    assert_eq!(described.files.len(), 2);
    assert!(described.files.iter().all(|file| file.access() == Access::ReadOnly));
}

fn there_is_a_bound(node: &Node) {
    let refused = |parts: &[&str]| {
        let before = mounts::snapshot(&node.pod("reader", "pv"));
        assert_refused(node.publish_workspace(&view(node)), Code::FailedPrecondition, parts);
        assert_eq!(mounts::snapshot(&node.pod("reader", "pv")), before);
    };
    let directory = loader(node);
    let flows = map::hash("flows", 1);
    for number in 0..256 {
        map::pin(flows.as_fd(), &directory.join(format!("map{number}"))).unwrap();
    }
    let wanted = view(node);
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Created);
    assert_eq!(files(&wanted.target()).len(), 256);
    map::pin(flows.as_fd(), &directory.join("one-more")).unwrap();
    refused(&["workspace \"pv\"", "more than 256 maps", "remove some"]);
    fs::remove_file(directory.join("one-more")).unwrap();
    fs::remove_file(directory.join("map0")).unwrap();

    let eight = "a/b/c/d/e/f/g/h";
    fs::create_dir_all(directory.join(eight)).unwrap();
    map::pin(flows.as_fd(), &directory.join(eight).join("flows")).unwrap();
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Replaced);
    assert!(files(&wanted.target()).contains("a/b/c/d/e/f/g/h/flows"));
    fs::create_dir(directory.join(eight).join("i")).unwrap();
    refused(&["workspace \"pv\"", "more than 8 deep", "remove some"]);
    fs::remove_dir(directory.join(eight).join("i")).unwrap();

    for number in 0..4096 {
        symlink("x", directory.join(format!("link{number}"))).unwrap();
    }
    refused(&["workspace \"pv\"", "more than 4096 pins and directories", "remove some"]);
}

/// Pods may change the workspace while it is read.
fn its_owner_may_change_it_meanwhile(node: &Node) {
    let directory = loader(node);
    let flows = map::hash("flows", 1);
    fs::create_dir(directory.join("still")).unwrap();
    map::pin(flows.as_fd(), &directory.join("still/there")).unwrap();
    let done = AtomicBool::new(false);
    let wanted = view(node);
    thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let at = |name: &str| directory.join(name);
            while !done.load(Ordering::Relaxed) {
                fs::create_dir(at("a")).unwrap();
                map::pin(flows.as_fd(), &at("a/flows")).unwrap();
                map::pin(flows.as_fd(), &at("b")).unwrap();
                fs::rename(at("a"), at("c")).unwrap();
                fs::rename(at("b"), at("a")).unwrap();
                fs::rename(at("c"), at("b")).unwrap();
                fs::remove_file(at("a")).unwrap();
                symlink("still", at("a")).unwrap();
                fs::remove_file(at("a")).unwrap();
                fs::remove_file(at("b/flows")).unwrap();
                fs::remove_dir(at("b")).unwrap();
            }
        });
        let mut replaced = 0;
        for _ in 0..60 {
            match node.publish_workspace(&wanted) {
                Ok(outcome) => replaced += u32::from(outcome == Outcome::Replaced),
                Err(status) => {
                    done.store(true, Ordering::Relaxed);
                    panic!("{status:?}");
                }
            }
            node.stats("pv", &directory).unwrap();
            node.describe_volume("pv", &directory).unwrap();
            assert!(wanted.target().join("still/there").exists());
            assert!(files(&wanted.target()).iter().all(|file| {
                ["still/there", "a", "b", "c", "a/flows", "b/flows", "c/flows"].contains(&file.as_str())
            }));
            if churn.is_finished() {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        churn.join().unwrap();
        assert!(replaced > 0);
    });
}

both_ways!(
    maps_are_shown_where_they_are,
    nothing_in_it_can_be_written,
    modes_are_those_of_a_volume,
    what_is_no_map_is_left_out,
    it_is_renewed_when_the_maps_change,
    names_of_any_bytes,
    there_is_a_bound,
    its_owner_may_change_it_meanwhile,
);
