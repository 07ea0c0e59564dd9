//! Maps that something else pinned.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use bpffs_pinner::api;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tonic::{Code, Status};

use crate::support::node::Node;
use crate::support::wanted::{Wanted, pinned};
use crate::support::{assert_refused, map, mounts, program, skipped, unique};

/// Asserts the error of publishing and describing this source.
#[track_caller]
pub fn assert_unusable(node: &Node, source: &api::Source, code: Code, parts: &[&str]) {
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", source.clone());
    let mut with_map = vec!["map \"flows\": "];
    with_map.extend(parts);
    assert_refused(node.publish(&wanted), code, &with_map);
    assert!(!wanted.target().exists());
    assert_refused(node.describe(source.clone()), code, parts);
}

#[track_caller]
fn assert_pin_unusable(node: &Node, path: &Path, code: Code, parts: &[&str]) {
    let mut with_path = vec![path.to_str().unwrap()];
    with_path.extend(parts);
    assert_unusable(node, &pinned(path), code, &with_path);
}

#[test]
fn what_is_no_pin_of_a_map() {
    let node = Node::start();
    let (_flows, _) = node.map("real", 1);
    let pins = &node.pins;
    fs::create_dir(pins.join("directory")).unwrap();
    symlink("real", pins.join("link")).unwrap();
    symlink("directory", pins.join("linked")).unwrap();
    symlink("/etc/passwd", pins.join("outside")).unwrap();
    let on_tmpfs = pins.join("tmpfs");
    fs::create_dir(&on_tmpfs).unwrap();
    mounts::tmpfs(&on_tmpfs);
    fs::write(on_tmpfs.join("file"), "content").unwrap();
    for (path, code, part) in [
        ("missing", Code::Unavailable, "nothing is pinned at"),
        ("missing/deeper", Code::Unavailable, "nothing is pinned at"),
        ("link", Code::FailedPrecondition, "symbolic link"),
        ("linked/real", Code::FailedPrecondition, "symbolic link"),
        ("outside", Code::FailedPrecondition, "symbolic link"),
        ("real/deeper", Code::FailedPrecondition, "is no directory"),
        ("directory", Code::FailedPrecondition, "is a directory, not the pin of a map"),
        ("tmpfs", Code::FailedPrecondition, "is not on a bpf filesystem"),
        ("tmpfs/file", Code::FailedPrecondition, "is not on a bpf filesystem"),
    ] {
        assert_pin_unusable(&node, &pins.join(path), code, &[part]);
    }
    if pins.join("maps.debug").exists() {
        let answer = node.describe(pinned(&pins.join("maps.debug"))).unwrap_err();
        assert!(matches!(answer.code(), Code::FailedPrecondition | Code::Unavailable), "{answer:?}");
    }
}

#[test]
fn a_path_outside_the_pin_roots() {
    let node = Node::start();
    fs::create_dir(node.root.join("other")).unwrap();
    mounts::bpffs(&node.root.join("other"));
    let other = node.root.join("other/flows");
    map::pin(map::hash("flows", 1).as_fd(), &other).unwrap();
    let roots = node.pins.to_str().unwrap();
    let text = "is not beneath the allowed pin roots: ";
    assert_pin_unusable(&node, &other, Code::InvalidArgument, &[text, roots]);
    assert_pin_unusable(&node, &node.pins, Code::InvalidArgument, &[text]);
    assert_pin_unusable(&node, &node.root.join("pins2/flows"), Code::InvalidArgument, &[text]);
    let pins = node.pins.display();
    let long = |element: &str, times| format!("{pins}/{}", element.repeat(times));
    for path in [
        format!("{pins}/../other/flows"),
        format!("{pins}//flows"),
        "flows".to_owned(),
        String::new(),
        long("x", 256),
        format!("{}x", long("x/", 2048)),
    ] {
        assert_unusable(&node, &pinned(Path::new(&path)), Code::InvalidArgument, &["source.pinned.path: "]);
    }
}

#[test]
fn a_pin_root_without_a_bpffs() {
    let node = Node::start();
    rustix::mount::unmount(&node.pins, rustix::mount::UnmountFlags::DETACH).unwrap();
    let root = node.pins.to_str().unwrap();
    let bare = format!("no bpf filesystem is mounted at {root}; mount one (mount -t bpf bpf {root})");
    for path in ["flows", "a/b/flows"] {
        assert_pin_unusable(&node, &node.pins.join(path), Code::Unavailable, &["nothing can be pinned at", &bare]);
    }
    // A bpffs mounted further down is found.
    fs::create_dir(node.pins.join("a")).unwrap();
    crate::support::mounts::bpffs(&node.pins.join("a"));
    assert_pin_unusable(&node, &node.pins.join("a/b/flows"), Code::Unavailable, &["nothing is pinned at"]);
    assert_pin_unusable(&node, &node.pins.join("flows"), Code::Unavailable, &[&bare]);
    // Even if the root itself is gone.
    rustix::mount::unmount(node.pins.join("a"), rustix::mount::UnmountFlags::DETACH).unwrap();
    fs::remove_dir_all(&node.pins).unwrap();
    assert_pin_unusable(&node, &node.pins.join("flows"), Code::Unavailable, &[&bare]);
}

#[test]
fn the_pin_of_a_program() {
    let node = Node::start();
    let name = unique("prog");
    let program = program::idle(&name);
    let id = bpffs_pinner::sys::bpf::program_info(program.as_fd()).unwrap().id;
    node.pin("program", program.as_fd());
    let program = format!("is the pin of a program, {name:?} (id {id}), not of a map");
    assert_pin_unusable(&node, &node.pins.join("program"), Code::FailedPrecondition, &[&program]);
}

#[test]
fn the_pin_of_a_link() {
    let node = Node::start();
    // SAFETY: this thread has no sockets of the old namespace.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
    let link = match program::link() {
        Ok(link) => link,
        Err(errno) => return skipped("the pin of a link", &format!("this kernel makes none: {errno}")),
    };
    node.pin("link", link.as_fd());
    assert_pin_unusable(&node, &node.pins.join("link"), Code::FailedPrecondition, &["is the pin of a link"]);
}

#[test]
fn types_that_are_not_handed_out() {
    let node = Node::start();
    for (kind, name) in [(map::PROG_ARRAY, "prog_array"), (map::STACK_TRACE, "stack_trace")] {
        let map = map::create(kind, name, 0);
        let source = node.pin(name, map.as_fd());
        let text = format!("map {} is of type {name}, which is not handed out: ", map::id(map.as_fd()));
        assert_unusable(&node, &source, Code::FailedPrecondition, &[&text]);
    }
}

#[test]
fn a_pin_of_another_user_deep_in_a_root() -> Result<(), Status> {
    let node = Node::start();
    let directory = node.pins.join("a/b");
    fs::create_dir_all(&directory).unwrap();
    let array = map::create(map::ARRAY, "array", 0);
    let pin = directory.join("array");
    map::pin(array.as_fd(), &pin).unwrap();
    for path in [&pin, &directory] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
    }
    let wanted = Wanted::new("volume", &node.target("pod")).read("array", pinned(&pin));
    node.publish(&wanted)?;
    map::update(array.as_fd(), 1, 5).unwrap();
    let seen = map::open_read_only(&wanted.target().join("array")).unwrap();
    assert_eq!(map::lookup(seen.as_fd(), 1), Ok(5));
    Ok(())
}

/// A map of the store must be asked for as `created`, with its definition, and not by its path.
#[test]
fn the_store_is_no_pin_root() {
    let node = Node::start();
    let kept = crate::support::wanted::created("kept", "hash");
    node.publish(&Wanted::new("volume", &node.target("keeper")).read("kept", kept)).unwrap();
    let pin = node.created("kept");
    assert!(pin.exists());
    assert_pin_unusable(&node, &pin, Code::InvalidArgument, &["is not beneath the allowed pin roots"]);
}
