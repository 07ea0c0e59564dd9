//! What arrives at the socket of a delegation, from a pod that means no good.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bpffs_pinner::delegation::channel;
use bpffs_pinner::delegation::delegator::WORKERS;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CapabilitySet, UnshareFlags, unshare_unsafe};

use crate::support::node::Node;
use crate::support::pod::{Pod, answer, call, connect, delegation, token, wanted};
use crate::support::{eventually, fuse, mounts, skipped};

/// A node with two delegations; `None` on a kernel without tokens.
fn node(test: &str) -> Option<(Node, PathBuf, PathBuf)> {
    let node = Node::start();
    if !node.has("delegation", test) {
        return None;
    }
    let (one, two) = (node.target("one"), node.target("two"));
    for (id, target) in [("csi-1", &one), ("csi-2", &two)] {
        node.publish_delegation(&wanted(id, target, delegation())).unwrap();
    }
    Some((node, one, two))
}

/// The delegator's process: the pinner's only child.
fn delegator(node: &Node) -> String {
    let pid = node.pid().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let [child] = children.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{children:?}") };
    child.to_owned()
}

/// More delegations.
fn volumes(node: &Node, count: usize) -> Vec<PathBuf> {
    let targets: Vec<_> = (0..count).map(|number| node.target(&format!("pod-{number}"))).collect();
    for (number, target) in targets.iter().enumerate() {
        node.publish_delegation(&wanted(&format!("csi-pod-{number}"), target, delegation())).unwrap();
    }
    targets
}

fn workers(node: &Node) -> usize {
    let child = delegator(node);
    fs::read_to_string(format!("/proc/{child}/task/{child}/children")).unwrap().split_whitespace().count()
}

#[test]
fn another_descriptor_is_refused() {
    let Some((node, target, _)) = node("descriptors") else { return };
    let directory = File::open("/").unwrap();
    let (pipe, _other) = std::io::pipe().unwrap();
    let [mount, network] = ["mnt", "net"].map(|name| File::open(format!("/proc/self/ns/{name}")).unwrap());
    let faked = node.root.join("user:[1]");
    let faked = File::create(faked).unwrap();
    let tokens = [directory.as_fd(), pipe.as_fd(), mount.as_fd(), network.as_fd(), faked.as_fd()];
    for descriptor in tokens {
        assert!(call(&target, b"n", &[descriptor]).contains("no user namespace"));
    }
    assert_eq!(mounts::at(&target.join("bpf")), []);
    assert_eq!(Pod::start().call(&target), "ok");
}

#[test]
fn the_nodes_namespace_is_refused() {
    let Some((_node, target, _)) = node("the node's namespace") else { return };
    let own = File::open("/proc/self/ns/user").unwrap();
    let refused = call(&target, b"n", &[own.as_fd()]);
    assert!(refused.contains("node's user namespace") && refused.contains("hostUsers: false"), "{refused}");
    assert_eq!(mounts::at(&target.join("bpf")), []);
}

#[test]
fn a_namespace_that_the_pod_made_is_refused() {
    let Some((_node, target, _)) = node("a grandchild") else { return };
    let pod = Pod::start();
    let sent = pod.with(CapabilitySet::all(), || {
        // SAFETY: nothing here shares descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?;
        let own = rustix::fs::open("/proc/self/ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let answer = call(&target, b"n", &[own.as_fd()]);
        if answer.contains("no child of the node's") { Ok(()) } else { Err(Errno::PROTO) }
    });
    assert_eq!(sent, Ok(()));
    assert_eq!(mounts::at(&target.join("bpf")), []);
}

#[test]
fn a_message_is_one_byte_with_one_descriptor() {
    let Some((_node, target, _)) = node("messages") else { return };
    let pod = Pod::start();
    let own = pod.0.as_fd();
    let many: Vec<BorrowedFd<'_>> = vec![own; 2];
    assert!(call(&target, b"n", &[]).contains("no descriptor"));
    for (bytes, descriptors) in [(b"n".as_slice(), many.as_slice()), (b"nn", &[own]), (&[b'n'; 4096], &[own])] {
        assert!(call(&target, bytes, descriptors).contains("has more"));
    }
    let socket = connect(&target, SocketFlags::CLOEXEC).unwrap();
    for _ in 0..100 {
        let space = bpffs_pinner::delegation::channel::send(socket.as_fd(), b"nn", &[own, own]);
        assert!(matches!(space, Ok(()) | Err(Errno::PIPE | Errno::CONNRESET)), "{space:?}");
    }
    assert_eq!(mounts::at(&target.join("bpf")), []);
    assert_eq!(pod.call(&target), "ok");
}

#[test]
fn a_silent_connection_ends_and_keeps_only_its_own_volume() {
    let Some((node, slow, other)) = node("slow senders") else { return };
    let silent = connect(&slow, SocketFlags::CLOEXEC).unwrap();
    eventually(|| workers(&node) == 1);
    let pod = Pod::start();
    assert_eq!(pod.call(&other), "ok");
    assert!(answer(silent.as_fd()).contains("no message came"));
    assert_eq!(pod.call(&slow), "ok");
    eventually(|| workers(&node) == 0);
}

#[test]
fn a_thousand_connections_are_bounded() {
    let Some((node, target, other)) = node("1,000 connections") else { return };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (mut open, mut refused): (Vec<OwnedFd>, _) = (Vec::new(), 0);
    for _ in 0..1000 {
        match connect(&target, flags) {
            Ok(socket) => open.push(socket),
            Err(errno) => {
                assert_eq!(errno, Errno::AGAIN);
                refused += 1;
            }
        }
        assert!(workers(&node) <= 1);
    }
    assert!(refused > 900, "{refused} of 1,000");
    let pod = Pod::start();
    assert_eq!(pod.call(&other), "ok");
    assert_eq!(node.list().len(), 2);
    drop(open);
    let helped = pod.helper(&target);
    assert!(helped.status.success(), "{}", String::from_utf8_lossy(&helped.stderr));
    assert_eq!(pod.loads(|| token(&target).map(drop)), Ok(()));
}

#[test]
fn the_workers_of_all_volumes_are_bounded() {
    let Some((node, ..)) = node("40 silent volumes") else { return };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut silent: Vec<_> = volumes(&node, 40).iter().map(|target| connect(target, flags).unwrap()).collect();
    eventually(|| workers(&node) == WORKERS);
    eventually(|| {
        assert!(workers(&node) <= WORKERS);
        silent.retain(|socket| match channel::receive(socket.as_fd()) {
            Err(errno) => errno == Errno::AGAIN,
            Ok(answer) => {
                let text = String::from_utf8(answer.unwrap().bytes).unwrap();
                assert!(text.contains("no message came"), "{text}");
                false
            }
        });
        silent.is_empty()
    });
    eventually(|| workers(&node) == 0);
}

#[test]
fn silent_callers_that_come_again_do_not_keep_the_others_from_their_turn() {
    let Some((node, ..)) = node("silent callers that come again") else { return };
    let mut callers = volumes(&node, WORKERS + 1);
    let last = callers.pop().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for target in callers {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let silent = connect(&target, SocketFlags::CLOEXEC).unwrap();
                    let _ = channel::receive(silent.as_fd());
                }
            });
        }
        eventually(|| workers(&node) == WORKERS);
        let pod = Pod::start();
        let waiting = connect(&last, SocketFlags::CLOEXEC).unwrap();
        set_socket_timeout(&waiting, Timeout::Recv, Some(Duration::from_secs(30))).unwrap();
        channel::send(waiting.as_fd(), b"n", &[pod.0.as_fd()]).unwrap();
        let answered = channel::receive(waiting.as_fd());
        done.store(true, Ordering::Relaxed);
        assert_eq!(answered.unwrap().unwrap().bytes, b"ok");
    });
}

/// The server of the filesystem may be the pod, and never answer.
#[test]
fn a_file_of_the_pods_own_filesystem_is_not_asked_anything() {
    let Some((node, target, _)) = node("a file of the pod's filesystem") else { return };
    let at = node.root.join("silent");
    fs::create_dir(&at).unwrap();
    let Some(asked) = fuse::silent(&at) else { return skipped("a silent filesystem", "this machine has no FUSE") };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = rustix::fs::open(&at, flags, Mode::empty()).unwrap();
    let answer = call(&target, b"n", &[file.as_fd()]);
    eventually(|| workers(&node) == 0);
    drop(file);
    rustix::mount::unmount(&at, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(asked.join().unwrap(), Vec::<u32>::new());
    assert!(answer.contains("no user namespace"), "{answer}");
}

#[test]
fn the_delegator_is_locked_and_has_one_capability() {
    let Some((mut node, _, _)) = node("the delegator") else { return };
    let child = delegator(&node);
    let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    let only = format!("{:016x}", CapabilitySet::SYS_ADMIN.bits());
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(value(set), Some(only.as_str()), "{set}");
    }
    assert_eq!((value("Seccomp"), value("NoNewPrivs"), value("Threads")), (Some("2"), Some("1"), Some("1")));

    let mounted = fs::read_to_string(format!("/proc/{child}/mountinfo")).unwrap();
    assert_eq!(mounted.lines().count(), 2, "{mounted}");

    kill_process(Pid::from_raw(child.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert!(!node.wait().success(), "the pinner ends with it");
}
