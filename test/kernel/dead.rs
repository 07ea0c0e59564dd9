//! A filesystem whose server is gone, where a volume is or should be. Any request to it hangs forever, and would hang
//! one thread of the pinner after another. So the pinner sends it none.

use std::fs;
use std::path::Path;

use tonic::Code;

use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace};
use crate::support::{assert_refused, both_ways, fuse, skipped};

/// Runs `what` while such a filesystem is mounted, and checks that it got no request.
fn beside_a_dead_one(at: &Path, what: impl FnOnce()) {
    fs::create_dir(at).unwrap();
    let Some(asked) = fuse::silent(at) else {
        return skipped("a filesystem whose server is gone", "no FUSE here");
    };
    what();
    rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(asked.join().unwrap().is_empty());
    fs::remove_dir(at).unwrap();
}

fn at_the_target(node: &Node) {
    const NOT_OURS: &str = "that is no volume of this driver";
    let (_flows, flows) = node.map("flows", 1);
    let target = node.target("pod");
    let wanted = Wanted::new("volume", &target).read("flows", flows);
    let workspace = Workspace::new("pv", &target);
    let single = Wanted(wanted.request()).single_target();
    beside_a_dead_one(&target, || {
        for _ in 0..8 {
            assert_refused(node.stats("volume", &target), Code::NotFound, &["is not published at"]);
            assert_refused(node.describe_volume("volume", &target), Code::NotFound, &["is not published at"]);
            for wanted in [&wanted, &single] {
                assert_refused(node.publish(wanted), Code::AlreadyExists, &[NOT_OURS]);
            }
            for workspace in [&workspace, &Workspace(workspace.0.clone()).read_only()] {
                assert_refused(node.publish_workspace(workspace), Code::AlreadyExists, &[NOT_OURS]);
            }
            assert_refused(node.unpublish("volume", &target), Code::FailedPrecondition, &[NOT_OURS]);
            assert_eq!(node.list(), []);
        }
    });
    node.publish(&wanted).unwrap();
}

fn beside_the_target(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let maps = Wanted::new("volume", &node.pod("maps", "volume")).read("flows", flows);
    let workspace = Workspace::new("pv", &node.pod("workspace", "volume"));
    for pod in ["maps", "workspace"] {
        beside_a_dead_one(&node.pod(pod, "remote"), || {
            if pod == "maps" {
                node.publish(&maps).unwrap();
                assert_eq!(node.list().len(), 1);
                node.unpublish("volume", &maps.target()).unwrap();
            } else {
                node.publish_workspace(&workspace).unwrap();
                node.unpublish("pv", &workspace.target()).unwrap();
            }
        });
    }
}

both_ways!(at_the_target, beside_the_target);
