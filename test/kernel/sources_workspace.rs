//! Maps that a pod pinned in its workspace, for other pods.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::process::Signal;
use tonic::Code;

use crate::layout::debug_files;
use crate::sources_pinned::assert_unusable;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace, created_for, in_workspace};
use crate::support::{both_ways, map, mounts, program, skipped, unique};

/// The directory of the workspace `pv` in a pod that loads maps.
fn loader(node: &Node) -> PathBuf {
    let wanted = Workspace::new("pv", &node.pod("loader", "pv"));
    node.publish_workspace(&wanted).unwrap();
    wanted.target()
}

fn a_pin_is_found_whether_its_pod_runs_or_not(node: &Node) {
    let directory = loader(node);
    fs::create_dir_all(directory.join("agent/deep")).unwrap();
    let (flows, limits) = (map::hash("flows", 1), map::hash("limits", 2));
    map::pin(flows.as_fd(), &directory.join("flows")).unwrap();
    map::pin(limits.as_fd(), &directory.join("agent/deep/limits")).unwrap();
    let wanted = Wanted::new("volume", &node.pod("reader", "maps"))
        .read("flows", in_workspace("pv", "flows"))
        .write("limits", in_workspace("pv", "agent/deep/limits"));
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created);
    let id = |file: &str| map::id(map::open_read_only(&wanted.target().join(file)).unwrap().as_fd());
    assert_eq!((id("flows"), id("limits")), (map::id(flows.as_fd()), map::id(limits.as_fd())));
    assert!(map::open_writable(&wanted.target().join("flows")).is_err());
    map::open_writable(&wanted.target().join("limits")).unwrap();

    node.unpublish("pv", &directory).unwrap();
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);
    assert_eq!(node.describe(in_workspace("pv", "flows")).unwrap().id, map::id(flows.as_fd()));

    // After a restart, its pod loads another map.
    let directory = loader(node);
    fs::remove_file(directory.join("flows")).unwrap();
    let again = map::hash("flows", 3);
    map::pin(again.as_fd(), &directory.join("flows")).unwrap();
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);
    assert_eq!(id("flows"), map::id(again.as_fd()));
}

fn what_is_not_there_yet(node: &Node) {
    const NOT_YET: Code = Code::Unavailable;
    let parts = ["there is no workspace of claim prod/agent (volume \"pv\") on this node yet: start a pod"];
    assert_unusable(node, &in_workspace("pv", "flows"), NOT_YET, &parts);
    assert_eq!(node.kept(), [] as [&str; 0]);

    let directory = loader(node);
    fs::create_dir(directory.join("agent")).unwrap();
    for path in ["flows", "agent/flows", "gone/flows"] {
        let part = format!(
            "nothing is pinned at {path:?} in the workspace of claim prod/agent (volume \"pv\") yet: start the pod"
        );
        assert_unusable(node, &in_workspace("pv", path), NOT_YET, &[&part]);
    }
    node.unpublish("pv", &directory).unwrap();
    node.release("pv").unwrap();
    assert_unusable(node, &in_workspace("pv", "flows"), NOT_YET, &parts);
}

fn what_is_no_pin_of_a_map(node: &Node) {
    const REFUSED: Code = Code::FailedPrecondition;
    let directory = loader(node);
    let outside = node.root.join("outside");
    fs::create_dir(&outside).unwrap();
    mounts::bpffs(&outside);
    map::pin(map::hash("secret", 1).as_fd(), &outside.join("secret")).unwrap();
    map::pin(map::hash("real", 1).as_fd(), &directory.join("real")).unwrap();
    let (name, jumps) = (unique("prog"), map::create(map::PROG_ARRAY, "jumps", 0));
    map::pin(program::idle(&name).as_fd(), &directory.join("program")).unwrap();
    map::pin(jumps.as_fd(), &directory.join("jumps")).unwrap();
    fs::create_dir(directory.join("agent")).unwrap();
    symlink("real", directory.join("link")).unwrap();
    symlink(".", directory.join("here")).unwrap();
    symlink(outside.join("secret"), directory.join("secret")).unwrap();
    symlink(&outside, directory.join("outside")).unwrap();
    symlink("/proc/self/fd", directory.join("magic")).unwrap();
    let program = format!("is the pin of a program, {name:?}");
    for (path, part) in [
        ("link", "symbolic link"),
        ("here/real", "symbolic link"),
        ("secret", "symbolic link"),
        ("outside/secret", "symbolic link"),
        ("magic/3", "symbolic link"),
        ("real/deeper", "is no directory"),
        ("agent", "is a directory, not the pin of a map"),
        ("program", program.as_str()),
        ("jumps", "is of type prog_array, which is not handed out"),
    ] {
        assert_unusable(node, &in_workspace("pv", path), REFUSED, &[part]);
    }
    match program::link() {
        Ok(link) => {
            map::pin(link.as_fd(), &directory.join("bpf-link")).unwrap();
            assert_unusable(node, &in_workspace("pv", "bpf-link"), REFUSED, &["is the pin of a link"]);
        }
        Err(errno) => skipped("the pin of a link in a workspace", &format!("this kernel makes none: {errno}")),
    }
    node.publish(&Wanted::new("maps", &node.pod("pod", "maps")).write("flows", created_for("maps", "flows", "hash")))
        .unwrap();
    assert_unusable(node, &in_workspace("maps", "flows"), REFUSED, &["volume \"maps\" is no workspace"]);
}

fn names_that_no_pin_can_have(node: &Node) {
    let directory = loader(node);
    map::pin(map::hash("flows", 1).as_fd(), &directory.join("flows")).unwrap();
    let long = "x".repeat(256);
    let deep = "x/".repeat(2048) + "x";
    for path in ["", "/", "/flows", "flows/", "./flows", "a/../flows", "..", "../flows", "a//b", "a\0b", &long, &deep] {
        assert_unusable(node, &in_workspace("pv", path), Code::InvalidArgument, &["source.workspace.path: "]);
    }
    for path in debug_files(node).into_iter().chain(["a.b/flows"]) {
        let part = "source.workspace.path: '.' in";
        assert_unusable(node, &in_workspace("pv", path), Code::InvalidArgument, &[part]);
    }
    for id in ["", "a.b", "..", "a/b"] {
        assert_unusable(node, &in_workspace(id, "flows"), Code::InvalidArgument, &["source.workspace.volume_id: "]);
    }
}

/// A pod keeps replacing a directory by a symbolic link: only what is in the workspace is ever opened.
fn a_race_leads_nowhere_else(node: &Node) {
    let directory = loader(node);
    let outside = node.root.join("outside");
    fs::create_dir(&outside).unwrap();
    mounts::bpffs(&outside);
    map::pin(map::hash("secret", 1).as_fd(), &outside.join("flows")).unwrap();
    let flows = map::hash("flows", 1);
    let [agent, real, link] = ["agent", "real", "link"].map(|name| directory.join(name));
    fs::create_dir(&real).unwrap();
    map::pin(flows.as_fd(), &real.join("flows")).unwrap();
    symlink(&outside, &link).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(&real, &agent).unwrap();
                fs::rename(&agent, &real).unwrap();
                fs::rename(&link, &agent).unwrap();
                fs::rename(&agent, &link).unwrap();
            }
        });
        let answers: Vec<_> = (0..300).map(|_| node.describe(in_workspace("pv", "agent/flows"))).collect();
        done.store(true, Ordering::Relaxed);
        let mut found = 0;
        for answer in answers {
            match answer {
                Ok(map) => {
                    assert_eq!(map.id, map::id(flows.as_fd()));
                    found += 1;
                }
                Err(status) => {
                    assert!(matches!(status.code(), Code::Unavailable | Code::FailedPrecondition), "{status:?}");
                }
            }
        }
        assert!(found > 0);
    });
}

both_ways!(
    a_pin_is_found_whether_its_pod_runs_or_not,
    what_is_not_there_yet,
    what_is_no_pin_of_a_map,
    names_that_no_pin_can_have,
    a_race_leads_nowhere_else,
);

#[test]
fn a_pinner_that_starts_again_finds_it() {
    let mut node = Node::start();
    let directory = loader(&node);
    let flows = map::hash("flows", 1);
    map::pin(flows.as_fd(), &directory.join("flows")).unwrap();
    node.unpublish("pv", &directory).unwrap();
    node.stop_by(Signal::KILL);
    node.start_pinner(&[]);
    assert_eq!(node.describe(in_workspace("pv", "flows")).unwrap().id, map::id(flows.as_fd()));
}
