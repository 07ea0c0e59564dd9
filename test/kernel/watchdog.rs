//! A call that hangs in the kernel ends the pinner, and `ping` tells whether it answers.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};

use bpffs_pinner::watchdog::EXIT_HUNG;
use rustix::process::Signal;
use rustix::thread::CapabilitySet;

use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::pinned;
use crate::support::{eventually, fuse, skipped};

fn ping(node: &Node) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bpffs-pinner"));
    command.env_clear().arg("--socket").arg(&node.socket).arg("ping").output().unwrap()
}

fn assert_silent(node: &Node, problem: &str) {
    let Output { status, stdout, stderr } = ping(node);
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("bpffs-pinner: ") && stderr.contains(problem), "{problem:?} is not in {stderr:?}");
    assert!(stderr.contains(node.socket.to_str().unwrap()) && stdout.is_empty(), "{stderr}");
}

#[test]
fn a_ping_of_root_or_of_the_peer_finds_the_pinner() {
    let mut node = Node::start_with(&["--peer-uid", "65532"]);
    for user in [User::root_with(CapabilitySet::DAC_OVERRIDE), User::plain(65532)] {
        let Output { status, stdout, stderr } = user.run(|| ping(&node));
        assert!(status.success() && stdout.is_empty() && stderr.is_empty(), "{stderr:?}");
    }
    node.signal(Signal::STOP);
    assert_silent(&node, "nothing came for 5 s");
    node.signal(Signal::CONT);
    assert!(ping(&node).status.success());
    node.stop_by(Signal::KILL);
    assert_silent(&node, "Connection refused");
    fs::remove_file(&node.socket).unwrap();
    assert_silent(&node, "No such file");
}

#[test]
fn a_call_that_hangs_ends_the_pinner() {
    let mut node = Node::without_pinner();
    let dead = node.pins.join("dead");
    // A filesystem whose server never answers: a process that asks it cannot be killed.
    fs::create_dir(&dead).unwrap();
    let Some(held) = fuse::hung(&dead) else { return skipped("a call that hangs", "this kernel has no FUSE") };
    node.start_pinner(&["--hang-limit", "1"]);
    let answer = node.describe(pinned(&dead.join("flows")));
    // The call ends with the connection, not with the process.
    answer.expect_err("nobody answers");
    eventually(|| UnixStream::connect(&node.socket).is_err());
    let log = fs::read_to_string(node.log()).unwrap();
    assert!(log.contains("\"method\":\"DescribeMap\"") && log.contains("a call hangs in the kernel"), "{log}");
    // Only now can the process exit.
    drop(held);
    assert_eq!(node.wait().code(), Some(EXIT_HUNG));
}

#[test]
fn time_in_which_it_is_stopped_does_not_count() {
    let node = Node::start_with(&["--hang-limit", "1"]);
    node.node().unwrap();
    node.signal(Signal::STOP);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    node.signal(Signal::CONT);
    node.list();
}
