//! The running process: whom it answers, what it may do, and what it keeps open.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use bpffs_pinner::probe::{Feature, Nobody, probe};
use rustix::process::Signal;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use tonic::Code;

use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::{Wanted, created};
use crate::support::{assert_refused, mounts};

#[test]
fn it_answers_one_uid() {
    let node = Node::start_with(&["--peer-uid", "65532"]);
    fs::set_permissions(&node.socket, fs::Permissions::from_mode(0o666)).unwrap();
    let ask = |user: User| user.run(|| Client::new(&node.socket).node());
    for user in [User::NOBODY, User::plain(65533)] {
        let uid = format!("this is uid {}", user.uid);
        assert_refused(ask(user), Code::PermissionDenied, &["the pinner answers uid 65532 only", &uid]);
    }
    // The uid counts, and not the group.
    ask(User { gid: 0, ..User::plain(65532) }).unwrap();
    let plugin = User::plain(65532);
    ask(plugin).unwrap();

    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows);
    let stranger = User::NOBODY.run(|| Client::new(&node.socket).publish(&wanted));
    assert_refused(stranger, Code::PermissionDenied, &["this is uid 65534"]);
    assert!(!wanted.target().exists());
    plugin.run(|| Client::new(&node.socket).publish(&wanted)).unwrap();
    let stranger = User::NOBODY.run(|| Client::new(&node.socket).unpublish("volume", &wanted.target()));
    assert_refused(stranger, Code::PermissionDenied, &["this is uid 65534"]);
    assert!(wanted.target().join("flows").exists());
}

/// A liveness probe runs as root.
#[test]
fn root_may_ask_whether_it_is_there_and_nothing_else() {
    let node = Node::start_with(&["--peer-uid", "65532"]);
    node.node().unwrap();
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows.clone());
    let refused = "the pinner answers uid 65532 only, this is uid 0";
    assert_refused(node.publish(&wanted), Code::PermissionDenied, &[refused]);
    assert_refused(node.unpublish("volume", &wanted.target()), Code::PermissionDenied, &[refused]);
    assert_refused(node.describe(flows), Code::PermissionDenied, &[refused]);
    assert_refused(node.release("volume"), Code::PermissionDenied, &[refused]);
    assert!(!wanted.target().exists());
}

/// The privilege lines of `/proc/PID/task/*/status`.
fn privileges(node: &Node) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", node.pid().as_raw_nonzero())).unwrap();
    tasks
        .map(|task| {
            let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let told: Vec<_> = text
                .lines()
                .filter(|line| ["Cap", "NoNewPrivs"].iter().any(|start| line.starts_with(start)))
                .map(|line| line.replace('\t', " "))
                .collect();
            told.join(", ")
        })
        .collect()
}

fn check_privileges(flags: &[&str], capabilities: CapabilitySet) {
    let node = Node::start_with(flags);
    let (_flows, flows) = node.map("flows", 1);
    node.publish(&Wanted::new("volume", &node.target("pod")).write("flows", flows)).unwrap();

    let threads = privileges(&node);

    assert!(threads.len() >= 2, "the main thread, and one for the kernel: {threads:?}");
    let kept = format!("{:016x}", capabilities.bits());
    let nothing = format!("{:016x}", 0);
    let exactly =
        format!("CapInh: {nothing}, CapPrm: {kept}, CapEff: {kept}, CapBnd: {kept}, CapAmb: {nothing}, NoNewPrivs: 1");
    for thread in threads {
        assert_eq!(thread, exactly);
    }
}

const KEPT: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::CHOWN).union(CapabilitySet::BPF).union(CapabilitySet::DAC_OVERRIDE);

#[test]
fn it_keeps_four_capabilities() {
    check_privileges(&[], KEPT);
}

#[test]
fn it_keeps_a_fifth_where_it_makes_network_maps() {
    check_privileges(&["--network-maps"], KEPT | CapabilitySet::NET_ADMIN);
}

/// Only becoming nobody takes more capabilities, and that is over before anything is tried.
#[test]
fn what_the_kernel_can_do_is_found_with_what_is_kept() {
    let told = |features: Vec<Feature>| features.iter().map(|found| format!("{found:?}")).collect::<Vec<_>>();
    let starting = KEPT | CapabilitySet::SETUID | CapabilitySet::SETGID;
    let kept = User::root_with(starting).run(|| {
        let nobody = Nobody::start().unwrap();
        let sets = CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
        set_capabilities(None, sets).unwrap();
        told(nobody.probe())
    });
    assert_eq!(kept, told(probe()));
    assert!(kept.len() >= 5);
}

/// Counts open descriptors once their number is stable: leftovers are closed a moment later.
fn descriptors(node: &Node) -> usize {
    let count = || fs::read_dir(format!("/proc/{}/fd", node.pid().as_raw_nonzero())).unwrap().count();
    let mut open = count();
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = count();
        if now >= open {
            return now;
        }
        open = now;
    }
}

#[test]
fn it_holds_on_to_nothing() {
    let node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows).write("kept", created("kept", "hash"));
    let pair = |wanted: &Wanted| {
        node.publish(wanted).unwrap();
        node.publish(wanted).unwrap();
        node.stats("volume", &wanted.target()).unwrap();
        node.list();
        node.unpublish("volume", &wanted.target()).unwrap();
    };
    pair(&wanted);
    let (mounted, open) = (mounts::snapshot(&node.kubelet), descriptors(&node));
    let user = Wanted(wanted.request()).gid(1).in_user_namespace();
    for round in 0..200 {
        pair(if round % 2 == 0 { &wanted } else { &user });
        let failing = Wanted(wanted.request()).read("gone", crate::support::wanted::pinned(&node.pins.join("gone")));
        assert!(node.publish(&failing).is_err());
    }
    assert_eq!(descriptors(&node), open);
    assert_eq!(mounts::snapshot(&node.kubelet), mounted);
}

/// Its private mount namespace is empty: a copy of a host mount would keep that mount busy.
#[test]
fn it_keeps_no_copy_of_the_hosts_mounts() {
    let node = Node::start();
    let tasks = fs::read_dir(format!("/proc/{}/task", node.pid().as_raw_nonzero())).unwrap();
    let own = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    for task in tasks {
        let table = fs::read_to_string(task.unwrap().path().join("mountinfo")).unwrap();
        assert!(table == own || table.lines().count() == 1, "{table}");
    }
}

/// It is then restarted, and so can be reached again.
#[test]
fn it_ends_when_its_socket_is_gone() {
    let mut node = Node::start();
    fs::remove_file(&node.socket).unwrap();
    assert_eq!(node.wait().code(), Some(1));
    let said = format!("{} was removed, or is the socket of another process", node.socket.display());
    let log = fs::read_to_string(node.log()).unwrap();
    assert!(log.contains(&said), "{log}");

    node.start_pinner(&[]);
    fs::remove_file(&node.socket).unwrap();
    let _other = UnixListener::bind(&node.socket).unwrap();
    assert_eq!(node.wait().code(), Some(1));
    assert!(node.socket.exists());
}

#[test]
fn a_pinner_that_is_stopped_lets_calls_finish() {
    let mut node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let target = node.target("pod");
    let wanted = (0..256).fold(Wanted::new("volume", &target), |wanted, n| wanted.write(&n.to_string(), flows.clone()));
    node.node().unwrap();
    node.signal(Signal::STOP);
    let pid = node.pid();
    let answer = node.run(|mut pinner| async move {
        let call = tokio::spawn(async move { pinner.publish_volume(wanted.request()).await });
        // The request is in the socket before the pinner continues; the signal comes while it works.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        rustix::process::kill_process(pid, Signal::CONT).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        call.await.unwrap()
    });
    answer.unwrap();
    assert_eq!(mounts::at(&target).len(), 1);
    assert!(node.stop_by(Signal::TERM).success());
}
