//! Volumes that may be at only one target at a time.

use bpffs_pinner::api::publish_volume_response::Outcome;
use tonic::Code;

use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace};
use crate::support::{assert_refused, both_ways, mounts};

const REFUSED: Code = Code::FailedPrecondition;

fn a_volume_is_refused_at_a_second_target(node: &Node) {
    if !node.shows_sources("a second target of a volume") {
        return;
    }
    let (_flows, flows) = node.map("flows", 1);
    let volume = |pod: &str| Wanted::new("pv", &node.pod(pod, "pv")).write("flows", flows.clone()).single_target();
    let (one, two) = (volume("one"), volume("two"));
    node.publish(&one).unwrap();
    let before = mounts::snapshot(&node.kubelet);
    let user = Wanted(two.request()).in_user_namespace();
    for wanted in [&two, &user] {
        let parts = [
            "volume \"pv\" may be at one target",
            one.0.target_path.as_str(),
            "end the pod",
            "as ReadWriteOnce instead",
        ];
        assert_refused(node.publish(wanted), REFUSED, &parts);
    }
    assert_eq!(mounts::snapshot(&node.kubelet), before);
    // At its own target it can be published again, also with a new generation.
    assert_eq!(node.publish(&one).unwrap(), Outcome::Unchanged);
    std::fs::remove_file(node.pins.join("flows")).unwrap();
    let _again = node.map("flows", 2);
    assert_eq!(node.publish(&one).unwrap(), Outcome::Replaced);
    // Another volume is not affected.
    let other = Wanted::new("other", &node.pod("two", "other")).write("flows", flows.clone()).single_target();
    node.publish(&other).unwrap();

    node.unpublish("pv", &one.target()).unwrap();
    assert_eq!(node.publish(&two).unwrap(), Outcome::Created);
    // Without `single_target` there is no check.
    let mut anywhere = volume("three");
    anywhere.0.single_target = false;
    assert_eq!(node.publish(&anywhere).unwrap(), Outcome::Created);
}

fn a_workspace_is_refused_at_a_second_target(node: &Node) {
    let workspace = |pod: &str| Workspace::new("pv", &node.pod(pod, "pv")).single_target();
    let (one, two) = (workspace("one"), workspace("two"));
    node.publish_workspace(&one).unwrap();
    assert_eq!(node.publish_workspace(&one).unwrap(), Outcome::Unchanged);
    let before = mounts::snapshot(&node.kubelet);
    for wanted in [&two, &Workspace(two.0.clone()).read_only()] {
        let parts = [
            "volume \"pv\" may be at one target",
            one.0.target_path.as_str(),
            "end the pod",
            "as ReadWriteOnce instead",
        ];
        assert_refused(node.publish_workspace(wanted), REFUSED, &parts);
    }
    assert_eq!(mounts::snapshot(&node.kubelet), before);
    node.unpublish("pv", &one.target()).unwrap();
    assert_eq!(node.publish_workspace(&two).unwrap(), Outcome::Created);
}

/// The kubelet may forget a pod without unpublishing its volumes.
fn what_nobody_unpublishes_is_unmounted_by_hand(node: &Node) {
    let workspace = |pod: &str| Workspace::new("pv", &node.pod(pod, "pv")).single_target();
    let (gone, next) = (workspace("gone"), workspace("next"));
    node.publish_workspace(&gone).unwrap();
    let way_out = format!("if there is no such pod any more (umount -l {})", gone.0.target_path);
    assert_refused(node.publish_workspace(&next), REFUSED, &[&way_out]);
    rustix::mount::unmount(gone.target(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(node.publish_workspace(&next).unwrap(), Outcome::Created);
}

both_ways!(
    a_volume_is_refused_at_a_second_target,
    a_workspace_is_refused_at_a_second_target,
    what_nobody_unpublishes_is_unmounted_by_hand,
);

/// A workspace's mount in the store is no target, wherever the store is.
#[test]
fn the_store_is_no_target() {
    let mut node = Node::without_pinner();
    node.store = node.kubelet.join("plugins/store");
    node.start_pinner(&[]);
    let wanted = Workspace::new("pv", &node.pod("pod", "pv")).single_target();
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Created);
    assert_eq!(node.list(), [("pv".to_owned(), wanted.target())]);
    node.unpublish("pv", &wanted.target()).unwrap();
    assert_eq!(node.list(), []);
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Created);
}

#[test]
fn of_many_calls_at_the_same_time_one_is_answered() {
    let node = Node::start();
    if !node.shows_sources("targets of a volume that race") {
        return;
    }
    let requests: Vec<_> = (0..8).map(|pod| Workspace::new("pv", &node.pod(&format!("pod{pod}"), "pv"))).collect();
    for _ in 0..20 {
        let calls: Vec<_> = requests.iter().map(|wanted| Workspace(wanted.0.clone()).single_target().0).collect();
        let answers = node.run(|pinner| async move {
            let calls: Vec<_> = calls
                .into_iter()
                .map(|request| {
                    let mut pinner = pinner.clone();
                    tokio::spawn(async move { pinner.publish_workspace(request).await })
                })
                .collect();
            let mut answers = Vec::new();
            for call in calls {
                answers.push(call.await.unwrap());
            }
            answers
        });
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        for wanted in &requests {
            node.unpublish("pv", &wanted.target()).unwrap();
        }
    }
}
