//! What is kept of persistent volumes: listed, released, and found again after a restart.

use std::fs;
use std::os::fd::AsFd;

use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::process::Signal;
use tonic::Code;

use crate::isolation::names;
use crate::sources_pinned::assert_unusable;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace, created, created_for};
use crate::support::{assert_refused, both_ways, map, mounts};

/// A volume with one map, `flows`, kept for `pv`.
fn shared(node: &Node, pod: &str, pv: &str) -> Wanted {
    Wanted::new(pv, &node.pod(pod, pv)).write("flows", created_for(pv, "flows", "hash"))
}

fn id(wanted: &Wanted) -> u32 {
    map::id(map::open_writable(&wanted.target().join("flows")).unwrap().as_fd())
}

fn maps_belong_to_their_volume(node: &Node) {
    let [one, two, again] = [("a", "one"), ("a", "two"), ("b", "one")].map(|(pod, pv)| shared(node, pod, pv));
    let node_wide = Wanted::new("inline", &node.pod("a", "inline")).write("flows", created("flows", "array"));
    for wanted in [&one, &two, &again, &node_wide] {
        assert_eq!(node.publish(wanted).unwrap(), Outcome::Created);
    }
    assert_eq!(id(&one), id(&again));
    assert_ne!(id(&one), id(&two));
    assert_ne!(id(&one), id(&node_wide));
    assert!(node.created("flows").exists());
    assert!(node.kept_at("one").join("flows").exists());
    assert_eq!(node.kept(), ["one", "two"]);
    // In the store, only root can reach them.
    for directory in [node.store.join("created"), node.store.join("volumes"), node.kept_at("one")] {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&directory).unwrap());
        assert_eq!(mode & 0o7777, 0o700, "{}", directory.display());
    }
}

/// Otherwise this pod and the next would have different maps under the same name.
fn what_is_published_is_not_released(node: &Node) {
    let (maps, workspace) = (shared(node, "pod", "maps"), Workspace::new("pv", &node.pod("other", "pv")));
    let view = Workspace::new("pv", &node.pod("reader", "pv")).read_only();
    node.publish_workspace(&workspace).unwrap();
    map::pin(map::hash("flows", 7).as_fd(), &workspace.target().join("flows")).unwrap();
    node.publish_workspace(&view).unwrap();
    node.publish(&maps).unwrap();
    let before = (mounts::snapshot(&node.kubelet), mounts::snapshot(&node.store));
    let refused = |id: &str, target: &std::path::Path| {
        let (what, at) = (format!("volume {id:?} is still published"), target.to_str().unwrap().to_owned());
        assert_refused(node.release(id), Code::Unavailable, &[&what, &at, "end the pod"]);
    };
    refused("pv", &workspace.target());
    let shows = node.shows_sources("telling that maps are published");
    if shows {
        refused("maps", &maps.target());
    }
    assert_eq!((mounts::snapshot(&node.kubelet), mounts::snapshot(&node.store)), before);

    node.unpublish("pv", &workspace.target()).unwrap();
    if shows {
        refused("pv", &view.target());
    }
    node.unpublish("pv", &view.target()).unwrap();
    node.release("pv").unwrap();
    node.unpublish("maps", &maps.target()).unwrap();
    node.release("maps").unwrap();
    assert_eq!(node.kept(), [] as [&str; 0]);
}

fn what_is_released_is_gone(node: &Node) {
    let [one, two] = ["one", "two"].map(|pv| shared(node, "pod", pv));
    let workspace = Workspace::new("pv", &node.pod("other", "pv"));
    for wanted in [&one, &two] {
        node.publish(wanted).unwrap();
    }
    node.publish_workspace(&workspace).unwrap();
    let node_wide = Wanted::new("inline", &node.pod("pod", "inline")).write("flows", created("flows", "array"));
    node.publish(&node_wide).unwrap();
    let (first, others) = (id(&one), mounts::snapshot(&node.kept_at("two")));
    map::pin(map::hash("flows", 7).as_fd(), &workspace.target().join("flows")).unwrap();
    node.unpublish("one", &one.target()).unwrap();
    node.unpublish("pv", &workspace.target()).unwrap();

    for _ in 0..3 {
        node.release("one").unwrap();
        node.release("pv").unwrap();
        assert_eq!(node.kept(), ["two"]);
        assert!(!node.kept_at("one").exists());
        assert_eq!(mounts::beneath(&node.store).len(), 1);
    }

    assert_eq!(mounts::snapshot(&node.kept_at("two")), others);
    assert!(node.created("flows").exists());
    node.release("never-there").unwrap();
    // A map with another definition can now take its place, and a workspace starts empty.
    let other = Wanted::new("one", &node.pod("later", "one")).write("flows", created_for("one", "flows", "array"));
    assert_eq!(node.publish(&other).unwrap(), Outcome::Created);
    assert_ne!(id(&other), first);
    let next = Workspace::new("pv", &node.pod("next", "pv"));
    assert_eq!(node.publish_workspace(&next).unwrap(), Outcome::Created);
    assert_eq!(names(&next.target()).len(), 0);
}

fn an_id_is_for_maps_or_for_a_workspace(node: &Node) {
    let maps = shared(node, "pod", "maps");
    node.publish(&maps).unwrap();
    node.publish_workspace(&Workspace::new("workspace", &node.pod("pod", "workspace"))).unwrap();
    let before = mounts::snapshot(&node.store);

    let refused = Code::FailedPrecondition;
    for wanted in [
        Workspace::new("maps", &node.pod("other", "maps")),
        Workspace::new("maps", &node.pod("other", "maps")).read_only(),
    ] {
        let parts = ["volume \"maps\" is kept as a volume with maps", "cannot be a workspace"];
        assert_refused(node.publish_workspace(&wanted), refused, &parts);
    }
    let parts = ["volume \"workspace\" is kept as a workspace", "cannot be a volume with maps"];
    assert_unusable(node, &created_for("workspace", "flows", "hash"), refused, &parts);

    assert_eq!(mounts::snapshot(&node.store), before);
    assert_eq!(node.list().len(), 2);
}

fn a_directory_that_was_left_empty_is_used_and_released(node: &Node) {
    for id in ["one", "two", "three"] {
        fs::create_dir(node.kept_at(id)).unwrap();
    }
    assert_eq!(node.kept(), ["one", "three", "two"]);
    let maps = shared(node, "pod", "one");
    node.publish(&maps).unwrap();
    let workspace = Workspace::new("two", &node.pod("pod", "two"));
    node.publish_workspace(&workspace).unwrap();
    node.unpublish("one", &maps.target()).unwrap();
    node.unpublish("two", &workspace.target()).unwrap();
    for id in ["one", "two", "three"] {
        node.release(id).unwrap();
    }
    assert_eq!(node.kept(), [] as [&str; 0]);
}

/// What the pinner did not create, it does not remove.
fn what_is_not_its_own_is_left_alone(node: &Node) {
    fs::create_dir_all(node.kept_at("directory").join("inside")).unwrap();
    map::pin(map::hash("flows", 1).as_fd(), &node.kept_at("directory").join("flows")).unwrap();
    map::pin(map::hash("flows", 1).as_fd(), &node.kept_at("file")).unwrap();
    fs::create_dir(node.kept_at("mount")).unwrap();
    mounts::tmpfs(&node.kept_at("mount"));
    std::os::unix::fs::symlink("../created", node.kept_at("link")).unwrap();
    node.publish(&Wanted::new("inline", &node.pod("pod", "inline")).write("flows", created("flows", "array"))).unwrap();
    let before = mounts::snapshot(&node.store);
    for (id, part) in [
        ("directory", "holds a directory \"inside\" in volume \"directory\""),
        ("file", "something that the pinner did not make"),
        ("link", "something that the pinner did not make"),
        ("mount", "a mount that the pinner did not make"),
    ] {
        assert_refused(node.release(id), Code::FailedPrecondition, &[part]);
        if id != "directory" {
            let wanted = Workspace::new(id, &node.pod("pod", id));
            assert_refused(node.publish_workspace(&wanted), Code::FailedPrecondition, &[part]);
            let path = node.kept_at(id);
            let parts = [part, path.to_str().unwrap()];
            assert_unusable(node, &created_for(id, "flows", "hash"), Code::FailedPrecondition, &parts);
        }
    }
    assert_eq!(mounts::snapshot(&node.store), before);
    assert_eq!(node.kept(), ["directory", "mount"]);
}

fn another_definition_is_refused(node: &Node) {
    node.publish(&shared(node, "pod", "pv")).unwrap();
    let pin = node.kept_at("pv").join("flows");
    let parts = ["the store holds it with type hash, not array", pin.to_str().unwrap()];
    assert_unusable(node, &created_for("pv", "flows", "array"), Code::FailedPrecondition, &parts);
}

fn describing_keeps_nothing(node: &Node) {
    let source = created_for("pv", "flows", "hash");
    assert_refused(node.describe(source.clone()), Code::Unavailable, &["it is made when a volume with it is first"]);
    assert_eq!(node.kept(), [] as [&str; 0]);
    node.publish(&shared(node, "pod", "pv")).unwrap();
    assert_eq!(node.describe(source).unwrap().name, "flows");
}

fn what_the_kernel_refuses_keeps_nothing(node: &Node) {
    let mut source = created_for("pv", "flows", "hash");
    if let Some(bpffs_pinner::api::source::From::Created(map)) = &mut source.from {
        map.key_size = 0;
    }
    let wanted = Wanted::new("pv", &node.pod("pod", "pv")).write("flows", source);
    assert_refused(node.publish(&wanted), Code::FailedPrecondition, &["the kernel refuses a hash"]);
    assert_eq!(node.kept(), [] as [&str; 0]);
}

both_ways!(
    maps_belong_to_their_volume,
    what_is_published_is_not_released,
    what_is_released_is_gone,
    an_id_is_for_maps_or_for_a_workspace,
    a_directory_that_was_left_empty_is_used_and_released,
    what_is_not_its_own_is_left_alone,
    another_definition_is_refused,
    describing_keeps_nothing,
    what_the_kernel_refuses_keeps_nothing,
);

#[test]
fn a_pinner_that_starts_again_finds_everything() {
    let mut node = Node::start();
    let maps = shared(&node, "pod", "maps");
    let node_wide = Wanted::new("inline", &node.pod("pod", "inline")).write("flows", created("flows", "hash"));
    let workspace = Workspace::new("pv", &node.pod("pod", "pv"));
    for wanted in [&maps, &node_wide] {
        node.publish(wanted).unwrap();
    }
    node.publish_workspace(&workspace).unwrap();
    let (first, inline) = (id(&maps), id(&node_wide));
    for wanted in [&maps, &node_wide] {
        node.unpublish(&wanted.0.volume_id, &wanted.target()).unwrap();
    }
    node.unpublish("pv", &workspace.target()).unwrap();
    for signal in [Signal::KILL, Signal::TERM] {
        let before = mounts::snapshot(&node.store);
        node.stop_by(signal);
        node.start_pinner(&[]);
        assert_eq!(mounts::snapshot(&node.store), before);
        assert_eq!(node.kept(), ["maps", "pv"]);
        for wanted in [&maps, &node_wide] {
            node.publish(wanted).unwrap();
        }
        assert_eq!((id(&maps), id(&node_wide)), (first, inline));
        for wanted in [&maps, &node_wide] {
            node.unpublish(&wanted.0.volume_id, &wanted.target()).unwrap();
        }
    }
    for pv in ["maps", "pv"] {
        node.release(pv).unwrap();
    }
    assert_eq!(node.kept(), [] as [&str; 0]);
}

#[test]
fn ids_that_cannot_be_kept_name_the_field() {
    let node = Node::start();
    let long = "x".repeat(129);
    for (id, part) in [
        ("a.b", "'.' in \"a.b\" is not allowed"),
        ("..", "'.' in"),
        ("a/b", "'/' in"),
        ("ä", "'ä' in"),
        (&long, "must have 1 to 128 characters, has 129"),
    ] {
        let field = format!("source.created.volume_id: {part}");
        assert_unusable(&node, &created_for(id, "flows", "hash"), Code::InvalidArgument, &[&field]);
        let field = format!("volume_id: {part}");
        assert_refused(node.release(id), Code::InvalidArgument, &[&field]);
    }
    assert_refused(node.release(""), Code::InvalidArgument, &["volume_id: must have 1 to 128 characters"]);
}

#[test]
fn calls_that_race_with_a_release_get_a_whole_volume_or_none() {
    let node = Node::start();
    if !node.shows_sources("calls that race with a release, which may leave a workspace published") {
        return;
    }
    for round in 0..40 {
        let (maps, workspace) = (shared(&node, "pod", "maps"), Workspace::new("pv", &node.pod("pod", "pv")));
        let (one, two) = (maps.request(), workspace.0.clone());
        let answers = node.run(|pinner| async move {
            let release = |id: &str| {
                let (mut pinner, volume_id) = (pinner.clone(), id.to_owned());
                let request = bpffs_pinner::api::ReleaseVolumeRequest { volume_id };
                tokio::spawn(async move { pinner.release_volume(request).await.map(drop) })
            };
            let (mut a, mut b) = (pinner.clone(), pinner.clone());
            let calls = [
                release("maps"),
                tokio::spawn(async move { a.publish_volume(one).await.map(drop) }),
                release("pv"),
                tokio::spawn(async move {
                    let mut answer = b.publish_workspace(two.clone()).await;
                    while answer.as_ref().is_err_and(|status| status.code() == Code::Aborted) {
                        answer = b.publish_workspace(two.clone()).await;
                    }
                    answer.map(drop)
                }),
                release("maps"),
                release("pv"),
            ];
            let mut answers = Vec::new();
            for call in calls {
                answers.push(call.await.unwrap());
            }
            answers
        });
        for answer in answers {
            // If it comes after the publish, it is refused because of it.
            let released = answer.map_or_else(|status| status.code() == Code::Unavailable, |()| true);
            assert!(released, "in round {round}");
        }
        assert!(maps.target().join("flows").exists());
        assert_eq!(mounts::at(&workspace.target()).len(), 1);
        for (id, target) in [("maps", maps.target()), ("pv", workspace.target())] {
            node.unpublish(id, &target).unwrap();
            node.release(id).unwrap();
        }
        assert_eq!(node.kept(), [] as [&str; 0]);
        assert_eq!(mounts::beneath(&node.store).len(), 1);
    }
}
