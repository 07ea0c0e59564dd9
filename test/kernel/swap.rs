//! A map is replaced at its source: new generations, without a gap.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tonic::Code;

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, pinned};
use crate::support::{assert_refused, both_ways, map, mounts};

const SWAPS: u64 = 200;

/// Replaces the pin `name` by a new map's, with this value.
fn replace(node: &Node, name: &str, value: u64) -> OwnedFd {
    let map = map::hash(name, value);
    let pin = node.pins.join(name);
    fs::remove_file(&pin).unwrap();
    map::pin(map.as_fd(), &pin).unwrap();
    map
}

fn value(pin: &Path) -> u64 {
    map::lookup(map::open_read_only(pin).unwrap().as_fd(), 1).unwrap()
}

/// A volume with a read-only and a writable map.
fn publish(node: &Node) -> Wanted {
    let (_flows, flows) = node.map("flows", 0);
    let (_limits, limits) = node.map("limits", 0);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows).write("limits", limits);
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created);
    wanted
}

fn a_replaced_map_makes_a_new_generation(node: &Node) {
    let wanted = publish(node);
    for round in 1..5 {
        let name = if round % 2 == 0 { "flows" } else { "limits" };
        let _map = replace(node, name, round);
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);
        assert_eq!(value(&wanted.target().join(name)), round);
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);
    }
    assert!(map::open_writable(&wanted.target().join("flows")).is_err());
    assert!(map::open_writable(&wanted.target().join("limits")).is_ok());
    node.unpublish("volume", &wanted.target()).unwrap();
    assert_eq!(mounts::beneath(&node.kubelet), []);
    assert!(!wanted.target().exists());
}

fn a_source_that_goes_leaves_the_volume_as_it_is(node: &Node) {
    let wanted = publish(node);
    let before = mounts::snapshot(&node.kubelet);
    fs::remove_file(node.pins.join("flows")).unwrap();
    assert_refused(node.publish(&wanted), Code::Unavailable, &["flows"]);
    assert_eq!(mounts::snapshot(&node.kubelet), before);
}

/// Stops the observer however the test ends.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A process inside a generation that is unmounted may find the read-only pin below a writable map.
fn open_writable_while_swapping(pin: &Path) {
    let opened = map::open_writable(pin).or_else(|errno| match errno {
        Errno::ROFS => map::open_writable(pin),
        _ => Err(errno),
    });
    opened.unwrap();
}

/// Swaps generations while another thread keeps looking at the volume.
fn there_is_a_complete_one_at_every_moment(node: &Node) {
    let wanted = publish(node);
    let target = wanted.target();
    let (complete, done) = (names(&target), AtomicBool::new(false));
    assert_eq!(complete.len(), 2);
    thread::scope(|scope| {
        let done_at_end = SetOnDrop(&done);
        let observer = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(names(&target), complete);
                map::open_read_only(&target.join("flows")).unwrap();
                open_writable_while_swapping(&target.join("limits"));
                assert!(map::open_writable(&target.join("flows")).is_err());
                looks += 1;
            }
            looks
        });
        for round in 1..=SWAPS {
            let _map = replace(node, "flows", round);
            assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);
            assert_eq!(value(&target.join("flows")), round);
            let generations = mounts::at(&target).len();
            assert!(generations <= 2, "{generations} generations after {round} swaps");
            if observer.is_finished() {
                break;
            }
        }
        drop(done_at_end);
        assert!(observer.join().unwrap() > 0);
    });
    node.unpublish("volume", &target).unwrap();
    assert_eq!(mounts::beneath(&node.kubelet), []);
}

/// The view of a container with `mountPropagation: HostToContainer`: a bind mount that is a slave of the host's.
fn a_running_container_that_follows_mounts_sees_each_generation(node: &Node) {
    mount_change(&node.root, MountPropagationFlags::SHARED).unwrap();
    let wanted = publish(node);
    let view = node.root.join("view");
    fs::create_dir(&view).unwrap();
    let target = wanted.target();
    let (ask, questions) = channel();
    let (answer, answers) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: nothing here relies on the working directory.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
            mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).unwrap();
            mount_bind_recursive(&target, &view).unwrap();
            // Moved, so that the receiver ends if this thread panics.
            let answer = answer;
            for () in questions {
                let seen = map::open_read_only(&view.join("flows")).and_then(|map| map::lookup(map.as_fd(), 1));
                answer.send(seen).unwrap();
            }
        });
        let ask = ask;
        let seen = || {
            ask.send(()).unwrap();
            answers.recv().unwrap()
        };
        assert_eq!(seen(), Ok(0));
        for round in 1..6 {
            let _map = replace(node, "flows", round);
            assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);
            assert_eq!(seen(), Ok(round));
        }
    });
    assert!(mounts::at(&wanted.target()).len() <= 2);
}

both_ways!(
    a_replaced_map_makes_a_new_generation,
    a_source_that_goes_leaves_the_volume_as_it_is,
    there_is_a_complete_one_at_every_moment,
    a_running_container_that_follows_mounts_sees_each_generation,
);

#[test]
fn several_generations_are_unpublished_at_once() {
    let node = Node::start();
    let wanted = publish(&node);
    for round in 1..4 {
        let _map = replace(&node, "flows", round);
        node.publish(&wanted).unwrap();
    }
    // As on a kernel that cannot mount beneath: generations pile up.
    for _ in 0..3 {
        stack_another(&wanted);
    }
    assert!(mounts::at(&wanted.target()).len() >= 4);
    assert_eq!(node.list().len(), 1);

    node.unpublish("volume", &wanted.target()).unwrap();

    assert_eq!(mounts::beneath(&node.kubelet), []);
    assert!(!wanted.target().exists());
}

/// Mounts a copy of the top generation on it.
fn stack_another(wanted: &Wanted) {
    use bpffs_pinner::sys::{mount, path};
    let target = path::open_beneath(&wanted.target(), "".as_ref()).unwrap();
    let copy = mount::clone_tree(target.as_fd(), c"").unwrap();
    mount::attach(copy.as_fd(), target.as_fd(), c"").unwrap();
}

#[test]
fn a_source_may_come_to_name_another_pin() {
    let node = Node::start();
    let mut wanted = publish(&node);
    let (_other, _) = node.map("other", 9);
    wanted.0.maps[0].source = Some(pinned(&node.pins.join("other")));
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);
    assert_eq!(value(&wanted.target().join("flows")), 9);
}
