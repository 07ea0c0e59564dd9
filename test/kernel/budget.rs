//! Limits on what the pinner creates on a node: checked before the kernel is asked, and reported.

use std::os::fd::AsFd;

use bpffs_pinner::api::{self, CreatedMap};
use bpffs_pinner::sys::bpf;
use rustix::process::Signal;
use tonic::Code;

use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace, created, created_for, defined};
use crate::support::{assert_refused, map};

fn used(node: &Node) -> (u64, u64, u64) {
    let budget = node.budget();
    let used = |share: Option<api::Share>| share.unwrap().used;
    (used(budget.created_maps), used(budget.created_memory_bytes), used(budget.workspaces))
}

fn array(name: &str, max_entries: u32) -> CreatedMap {
    let (name, r#type) = (name.to_owned(), "array".to_owned());
    CreatedMap { name, r#type, key_size: 4, value_size: 8, max_entries, ..CreatedMap::default() }
}

fn publish(node: &Node, pod: &str, source: api::Source) -> Result<(), tonic::Status> {
    node.publish(&Wanted::new(pod, &node.target(pod)).read("kept", source)).map(drop)
}

#[test]
fn a_map_that_can_never_fit_is_refused_before_the_kernel_is_asked() {
    let node = Node::start();
    let largest = CreatedMap { r#type: "percpu_array".to_owned(), ..array("kept", 1_000_000_000) };
    let parts = ["source.created.max_entries: must be at most 16777216 for type percpu_array, is 1000000000"];
    assert_refused(publish(&node, "pod", defined(largest.clone())), Code::InvalidArgument, &parts);
    let inner = api::InnerMap {
        r#type: "percpu_array".to_owned(),
        key_size: 4,
        value_size: 8,
        max_entries: 1_000_000_000,
        ..api::InnerMap::default()
    };
    let outer = |inner| CreatedMap {
        r#type: "array_of_maps".to_owned(),
        value_size: 4,
        inner: Some(inner),
        ..array("kept", 1)
    };
    let parts = ["source.created.inner.max_entries: must be at most 16777216"];
    assert_refused(publish(&node, "pod", defined(outer(inner.clone()))), Code::InvalidArgument, &parts);

    // 2^30 bytes by default, and 8 bytes per element.
    let parts = ["\"kept\"", "it would take 8000001024 bytes", "may take 1073741824", "--created-memory-max"];
    assert_refused(publish(&node, "pod", defined(array("kept", 1_000_000_000))), Code::FailedPrecondition, &parts);
    let inner = api::InnerMap { r#type: "array".to_owned(), ..inner };
    let parts = ["it would take 8000002056 bytes"];
    assert_refused(publish(&node, "pod", defined(outer(inner))), Code::FailedPrecondition, &parts);
    assert_eq!(used(&node), (0, 0, 0));
    assert!(!node.created("kept").exists());
}

#[test]
fn memory_is_counted_over_all_maps_and_restarts() {
    const FLAGS: [&str; 2] = ["--created-memory-max", "64Ki"];
    let mut node = Node::start_with(&FLAGS);
    // 32 KiB and 1 KiB for the head: one fits, two do not. Before Linux 6.4 the kernel counts more: whole pages, or
    // keys.
    publish(&node, "one", defined(array("one", 4096))).unwrap();
    let memory = used(&node).1;
    assert!((33792..=65536).contains(&memory), "{memory}");
    let two = || defined(CreatedMap { volume_id: "pv".to_owned(), ..array("two", 4096) });
    let taken = format!("take {memory} of the 65536");
    let parts = ["\"kept\"", "it would take 33792 bytes", &taken, "--created-memory-max"];
    assert_refused(publish(&node, "two", two()), Code::ResourceExhausted, &parts);
    publish(&node, "again", defined(array("one", 4096))).unwrap();
    node.stop_by(Signal::KILL);
    node.start_pinner(&FLAGS);
    assert_eq!(used(&node), (1, memory, 0));
    assert_refused(publish(&node, "two", two()), Code::ResourceExhausted, &parts);
    // A running pod does without the map: its renewal succeeds.
    let running = Wanted::new("one", &node.target("one")).read("kept", defined(array("one", 4096))).renew();
    node.publish(&running.read("two", two())).unwrap();
    std::fs::remove_file(node.created("one")).unwrap();
    publish(&node, "two", two()).unwrap();
    assert_eq!(used(&node), (1, memory, 0));
}

#[test]
fn a_map_that_grows_is_counted_as_when_it_is_full() {
    let node = Node::start();
    let flags = vec!["BPF_F_NO_PREALLOC".to_owned()];
    let hash = CreatedMap { r#type: "hash".to_owned(), flags, ..array("kept", 10_000) };
    publish(&node, "pod", defined(hash)).unwrap();
    let empty = bpf::map_memory(map::open_read_only(&node.created("kept")).unwrap().as_fd()).unwrap();
    let (maps, memory, _) = used(&node);
    assert_eq!(maps, 1);
    assert!(memory >= 10_000 * (48 + 8 + 8) && memory >= empty, "{memory}, {empty}");
}

#[test]
fn maps_are_counted_over_the_node_and_its_volumes() {
    let node = Node::start_with(&["--created-maps-max", "2"]);
    publish(&node, "one", created("one", "hash")).unwrap();
    publish(&node, "two", created_for("pv", "two", "hash")).unwrap();
    let three = created_for("pv2", "three", "hash");
    let parts = ["the driver keeps 2 maps on this node, and may make 2", "--created-maps-max"];
    assert_refused(publish(&node, "three", three.clone()), Code::ResourceExhausted, &parts);
    assert_eq!(node.kept(), ["pv"]);
    node.release("pv").unwrap();
    publish(&node, "three", three).unwrap();
    let budget = node.budget();
    assert_eq!(budget.created_maps, Some(api::Share { used: 2, limit: 2 }));
    assert_eq!(budget.created_memory_bytes.unwrap().limit, 1 << 30);
    assert_eq!(budget.workspaces, Some(api::Share { used: 0, limit: 256 }));
}

#[test]
fn workspaces_are_counted() {
    let node = Node::start_with(&["--workspaces-max", "1"]);
    let wanted = |id: &str| Workspace::new(id, &node.target(id));
    node.publish_workspace(&wanted("one")).unwrap();
    let parts = ["the driver keeps 1 workspaces on this node, and may make 1", "--workspaces-max"];
    assert_refused(node.publish_workspace(&wanted("two")), Code::ResourceExhausted, &parts);
    assert_refused(node.publish_workspace(&wanted("two").read_only()), Code::ResourceExhausted, &parts);
    assert_eq!((used(&node), node.kept()), ((0, 0, 1), vec!["one".to_owned()]));
    node.unpublish("one", &node.target("one")).unwrap();
    node.publish_workspace(&wanted("one")).unwrap();
    node.unpublish("one", &node.target("one")).unwrap();
    node.release("one").unwrap();
    node.publish_workspace(&wanted("two")).unwrap();
}

/// Maps that are being created count too.
#[test]
fn many_at_once_do_not_exceed_it() {
    let node = Node::start_with(&["--created-maps-max", "3"]);
    let wanted: Vec<_> = (0..12)
        .map(|number| {
            let name = format!("map{number}");
            Wanted::new(&name, &node.target(&name)).read("kept", created(&name, "hash")).request()
        })
        .collect();
    let answers = node.run(|pinner| async move {
        let calls = wanted.into_iter().map(|request| {
            let mut pinner = pinner.clone();
            tokio::spawn(async move { pinner.publish_volume(request).await })
        });
        let mut answers = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            answers.push(call.await.unwrap());
        }
        answers
    });
    assert!(answers.iter().any(Result::is_ok));
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_refused(refused, Code::ResourceExhausted, &["may make 3"]);
    }
    assert!(used(&node).0 <= 3);
}
