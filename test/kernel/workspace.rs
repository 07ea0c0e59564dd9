//! A workspace: a directory for a pod's pins that outlives the pod.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::thread::CapabilitySet;
use tonic::Code;

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::{Wanted, Workspace};
use crate::support::{assert_refused, both_ways, map, mounts};

const GROUP: u32 = 4711;

/// Publishes the workspace `pv` for a pod.
fn publish(node: &Node, pod: &str) -> Workspace {
    let wanted = Workspace::new("pv", &node.pod(pod, "pv"));
    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Created);
    wanted
}

fn look(directory: &Path) -> (u32, u32, u32) {
    let stat = fs::metadata(directory).unwrap();
    (stat.mode() & 0o7777, stat.uid(), stat.gid())
}

fn pins_outlive_their_pod(node: &Node) {
    let first = publish(node, "first");
    assert_eq!(names(&first.target()).len(), 0);
    let flows = map::hash("flows", 7);
    map::pin(flows.as_fd(), &first.target().join("flows")).unwrap();
    assert_eq!(node.publish_workspace(&first).unwrap(), Outcome::Unchanged);
    assert_eq!(mounts::at(&first.target()).len(), 1);

    let at_once = publish(node, "at once");
    node.unpublish("pv", &first.target()).unwrap();
    assert!(!first.target().exists());
    node.unpublish("pv", &first.target()).unwrap();
    let later = publish(node, "later");

    for pod in [at_once, later] {
        let seen = map::open_writable(&pod.target().join("flows")).unwrap();
        assert_eq!(map::id(seen.as_fd()), map::id(flows.as_fd()));
        node.unpublish("pv", &pod.target()).unwrap();
    }
    assert_eq!(mounts::beneath(&node.kubelet), []);
    assert_eq!(mounts::at(&node.kept_at("pv")).len(), 1);
}

fn two_workspaces_have_nothing_in_common(node: &Node) {
    let [one, two] = ["one", "two"].map(|id| {
        let wanted = Workspace::new(id, &node.pod("pod", id));
        node.publish_workspace(&wanted).unwrap();
        wanted.target()
    });
    map::pin(map::hash("flows", 7).as_fd(), &one.join("flows")).unwrap();
    assert_eq!(names(&two).len(), 0);
}

/// Creates a map, pins it, and opens the pin, as a loader does.
fn load(user: User, directory: &Path) -> Result<(), Errno> {
    user.run(|| {
        let map = map::hash("flows", 7);
        map::pin(map.as_fd(), &directory.join("flows"))?;
        fs::create_dir(directory.join("agent")).unwrap();
        map::pin(map.as_fd(), &directory.join("agent/flows"))?;
        map::open_writable(&directory.join("agent/flows")).map(drop)
    })
}

fn a_group_loads_its_maps_there(node: &Node) {
    let wanted = Workspace::new("pv", &node.pod("pod", "pv")).gid(GROUP);
    node.publish_workspace(&wanted).unwrap();
    let view = node.root.join("view");
    mounts::container_view(&wanted.target(), &view);
    assert_eq!(look(&view), (0o770, 0, GROUP));

    assert_eq!(load(User::loader(GROUP + 1), &view), Err(Errno::ACCESS));
    assert_eq!(load(User::loader(GROUP), &view), Ok(()));

    let stranger = User::loader(GROUP + 1).run(|| map::open_read_only(&view.join("flows")).map(drop));
    assert_eq!(stranger, Err(Errno::ACCESS));
    assert_eq!(names(&view).len(), 2);
}

fn without_a_group_everyone_loads_maps_there_and_keeps_them(node: &Node) {
    let wanted = publish(node, "pod");
    assert_eq!(look(&wanted.target()), (0o1777, 0, 0));
    assert_eq!(load(User::loader(65534), &wanted.target()), Ok(()));
    // Because of the sticky bit.
    let other = User { uid: 65533, ..User::loader(65533) };
    assert_eq!(other.run(|| rustix::fs::unlink(wanted.target().join("flows"))), Err(Errno::PERM));
}

fn a_second_group_is_refused_while_the_first_has_it(node: &Node) {
    let wanted = |pod: &str, gid: Option<u32>| {
        let wanted = Workspace::new("pv", &node.pod(pod, "pv"));
        gid.map_or(wanted.clone(), |gid| wanted.gid(gid))
    };
    for (round, (first, second)) in
        [(None, Some(GROUP)), (Some(GROUP), None), (Some(GROUP), Some(0)), (None, Some(0))].into_iter().enumerate()
    {
        let [one, two] = ["one", "two"].map(|pod| format!("{pod}{round}"));
        let (one, two, third) = (wanted(&one, first), wanted(&two, second), wanted("third", first));
        node.publish_workspace(&one).unwrap();
        let is = look(&one.target());
        let group = |gid: Option<u32>| gid.map_or("no fsGroup".to_owned(), |gid| format!("fsGroup {gid}"));
        let target = one.target();
        let [has, asks] = [group(first), group(second)];
        let (has, asks) = (format!("{} for {has}", target.display()), format!("asks for {asks}"));
        for _ in 0..2 {
            let parts = ["\"pv\"", has.as_str(), &asks, "the same fsGroup"];
            assert_refused(node.publish_workspace(&two), Code::FailedPrecondition, &parts);
            assert_eq!(look(&one.target()), is);
            assert!(!two.target().exists());
        }
        assert_eq!(node.publish_workspace(&wanted(&format!("one{round}"), second)).unwrap(), Outcome::Unchanged);
        assert_eq!(look(&one.target()), is);
        node.publish_workspace(&third).unwrap();
        node.unpublish("pv", &third.target()).unwrap();
        // A pod that only reads has a volume of its own, with its own group.
        let view = wanted("view", second).read_only();
        node.publish_workspace(&view).unwrap();
        node.unpublish("pv", &one.target()).unwrap();
        node.publish_workspace(&two).unwrap();
        assert_ne!(look(&two.target()), is);
        node.unpublish("pv", &two.target()).unwrap();
        node.unpublish("pv", &view.target()).unwrap();
    }
}

/// What a pod does to the directory does not change whom the workspace was published for.
fn a_pod_does_not_decide_whom_a_workspace_is_for(node: &Node) {
    let first = Workspace::new("pv", &node.pod("first", "pv")).gid(GROUP);
    node.publish_workspace(&first).unwrap();
    User::root_with(CapabilitySet::CHOWN | CapabilitySet::FOWNER).run(|| {
        fs::set_permissions(first.target(), fs::Permissions::from_mode(0o1777)).unwrap();
        chown(first.target(), Some(0), Some(0)).unwrap();
    });
    let other = Workspace::new("pv", &node.pod("other", "pv"));
    let parts = ["the workspace \"pv\" is published at", "the same fsGroup"];
    assert_refused(node.publish_workspace(&other), Code::FailedPrecondition, &parts);
    let parts = ["the workspace of claim prod/agent (volume \"pv\") is published at", "the same fsGroup"];
    assert_refused(node.publish_workspace(&other.claim("prod/agent")), Code::FailedPrecondition, &parts);
    let alike = Workspace::new("pv", &node.pod("alike", "pv")).gid(GROUP);
    node.publish_workspace(&alike).unwrap();
    assert_eq!(look(&first.target()), (0o770, 0, GROUP));
}

/// Uid 0 in a pod may chown it, and without `CAP_FOWNER` the pinner cannot change the mode of a directory that is not
/// root's.
fn a_directory_that_was_given_away_is_taken_back(node: &Node) {
    let first = publish(node, "first");
    User::root_with(CapabilitySet::CHOWN).run(|| {
        fs::set_permissions(first.target(), fs::Permissions::from_mode(0o000)).unwrap();
        chown(first.target(), Some(65534), Some(65534)).unwrap();
    });
    assert_eq!(node.publish_workspace(&first).unwrap(), Outcome::Unchanged);
    assert_eq!(node.list().len(), 1);

    publish(node, "second");
    assert_eq!(look(&first.target()), (0o1777, 0, 0));
    node.unpublish("pv", &first.target()).unwrap();
}

fn mounts_are_named_and_restricted(node: &Node) {
    let wanted = publish(node, "pod");
    let mounted = mounts::beneath(&wanted.target());
    assert_eq!(mounted.len(), 1, "{mounted:#?}");
    for mount in &mounted {
        for option in ["nosuid", "nodev", "noexec"] {
            assert!(mount.options.split(',').any(|set| set == option), "{option}: {mount:?}");
        }
    }
    if node.shows_sources("the source of a workspace") {
        assert_eq!(mounted[0].source, "csi-bpffs:pv");
    }
}

fn a_workspace_is_listed_and_counted(node: &Node) {
    let wanted = publish(node, "pod");
    let target = wanted.target();
    assert_eq!(node.list(), [("pv".to_owned(), target.clone())]);
    let (flows, limits) = (map::hash("flows", 1), map::create(map::PROG_ARRAY, "limits", 0));
    fs::create_dir_all(target.join("a/b")).unwrap();
    for (map, pin) in [(&flows, "flows"), (&flows, "a/b/flows"), (&limits, "a/limits")] {
        map::pin(map.as_fd(), &target.join(pin)).unwrap();
    }
    map::pin(crate::support::program::idle("idle").as_fd(), &target.join("program")).unwrap();
    std::os::unix::fs::symlink("flows", target.join("link")).unwrap();
    std::os::unix::fs::symlink("..", target.join("a/up")).unwrap();

    let stats = node.stats("pv", &target).unwrap();

    let memory = |map: &std::os::fd::OwnedFd| bpffs_pinner::sys::bpf::map_memory(map.as_fd()).unwrap();
    assert_eq!((stats.maps, stats.memory_bytes), (3, 2 * memory(&flows) + memory(&limits)));
    assert_refused(node.stats("other", &target), Code::NotFound, &["volume other is not published at"]);
}

/// A description, how to create it, and a part of the message.
type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);

fn something_else_at_the_target(node: &Node) {
    let cases: [Case<'_>; 6] = [
        ("a bpffs", &|target| directory_with(target, mounts::bpffs), "no volume of this driver"),
        ("a bind", &|target| directory_with(target, |to| mounts::read_only_bind(&node.pins, to)), "no volume"),
        (
            "pins",
            &|target| directory_with(target, |to| rustix::mount::mount_bind(&node.pins, to).unwrap()),
            "no volume",
        ),
        ("a tmpfs", &|target| directory_with(target, mounts::tmpfs), "no volume of this driver"),
        ("a file", &|target| fs::write(target, "content").unwrap(), "is a file"),
        ("a full one", &|target| fs::create_dir_all(target.join("x")).unwrap(), "a directory that is not empty"),
    ];
    for (what, make, part) in cases {
        let target = node.pod(what, "pv");
        make(&target);
        let before = mounts::snapshot(&node.kubelet);
        for wanted in [Workspace::new("pv", &target), Workspace::new("pv", &target).read_only()] {
            assert_refused(node.publish_workspace(&wanted), Code::AlreadyExists, &[part, "left as it is"]);
        }
        assert_refused(node.unpublish("pv", &target), Code::FailedPrecondition, &[part, "left as it is"]);
        assert_refused(node.stats("pv", &target), Code::NotFound, &[]);
        assert_eq!(mounts::snapshot(&node.kubelet), before, "{what}");
    }
}

fn directory_with(target: &Path, make: impl Fn(&Path)) {
    fs::create_dir(target).unwrap();
    make(target);
}

fn another_volume_at_the_target(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let (at, other, maps) = (node.pod("one", "pv"), node.pod("two", "pv"), node.pod("three", "pv"));
    let volume = |id: &str, target: &PathBuf| Wanted::new(id, target).write("flows", flows.clone());
    node.publish_workspace(&Workspace::new("pv", &at)).unwrap();
    node.publish_workspace(&Workspace::new("other", &other)).unwrap();
    node.publish(&volume("pv", &maps)).unwrap();
    let before = mounts::snapshot(&node.kubelet);

    let taken = Code::AlreadyExists;
    assert_refused(node.publish(&volume("pv", &at)), taken, &["before with a workspace"]);
    assert_refused(node.publish_workspace(&Workspace::new("pv", &at).read_only()), taken, &["before with a workspace"]);
    assert_refused(node.publish_workspace(&Workspace::new("pv", &other)), taken, &["holds another volume, other"]);
    assert_refused(node.publish_workspace(&Workspace::new("pv", &maps)), taken, &["before with maps"]);
    assert_refused(
        node.publish_workspace(&Workspace::new("pv", &maps).read_only()),
        taken,
        &["before with maps to write"],
    );
    assert_refused(node.unpublish("pv", &other), Code::FailedPrecondition, &["another volume, other"]);

    assert_eq!(mounts::snapshot(&node.kubelet), before);
}

fn one_that_is_kept_no_more_is_still_known(node: &Node) {
    if !node.shows_sources("telling whose a workspace is that is kept no more") {
        return;
    }
    let wanted = publish(node, "pod");
    let (target, flows) = (wanted.target(), map::hash("flows", 1));
    map::pin(flows.as_fd(), &target.join("flows")).unwrap();
    rustix::mount::unmount(node.kept_at("pv"), rustix::mount::UnmountFlags::DETACH).unwrap();

    assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Unchanged);
    assert_eq!(node.list(), [("pv".to_owned(), target.clone())]);
    assert_eq!(node.stats("pv", &target).unwrap().maps, 1);
    assert_refused(node.unpublish("other", &target), Code::FailedPrecondition, &["another volume, pv"]);
    map::open_writable(&target.join("flows")).unwrap();
    // The next pod gets a new workspace.
    let next = publish(node, "next");
    assert_eq!(names(&next.target()).len(), 0);

    node.unpublish("pv", &target).unwrap();
    assert!(!target.exists());
}

both_ways!(
    pins_outlive_their_pod,
    two_workspaces_have_nothing_in_common,
    a_group_loads_its_maps_there,
    without_a_group_everyone_loads_maps_there_and_keeps_them,
    a_second_group_is_refused_while_the_first_has_it,
    a_pod_does_not_decide_whom_a_workspace_is_for,
    a_directory_that_was_given_away_is_taken_back,
    mounts_are_named_and_restricted,
    a_workspace_is_listed_and_counted,
    something_else_at_the_target,
    another_volume_at_the_target,
    one_that_is_kept_no_more_is_still_known,
);

#[test]
fn a_pinner_that_starts_again_finds_it() {
    let mut node = Node::start();
    let wanted = publish(&node, "pod");
    map::pin(map::hash("flows", 7).as_fd(), &wanted.target().join("flows")).unwrap();
    for signal in [Signal::TERM, Signal::KILL] {
        node.stop_by(signal);
        node.start_pinner(&[]);
        assert_eq!(node.publish_workspace(&wanted).unwrap(), Outcome::Unchanged);
        assert_eq!(node.list().len(), 1);
        let name = format!("after {signal:?}");
        let next = publish(&node, &name);
        assert_eq!(names(&next.target()).len(), 1);
        assert_eq!(mounts::at(&node.kept_at("pv")).len(), 1);
        assert_eq!(mounts::at(&node.store).len(), 1);
        node.unpublish("pv", &next.target()).unwrap();
    }
    assert_eq!(node.kept(), ["pv"]);
}

/// As on a host whose administrator puts it below `/sys/fs/bpf`, which must not be mistaken for the store.
#[test]
fn the_store_may_lie_on_another_bpffs() {
    let mut node = Node::without_pinner();
    let bpffs = node.root.join("bpffs");
    fs::create_dir(&bpffs).unwrap();
    mounts::bpffs(&bpffs);
    node.store = bpffs.join("csi");
    for _ in 0..2 {
        node.start_pinner(&[]);
        let wanted = Workspace::new("pv", &node.pod("pod", "pv"));
        node.publish_workspace(&wanted).unwrap();
        let pin = wanted.target().join("flows");
        if !pin.exists() {
            map::pin(map::hash("flows", 7).as_fd(), &pin).unwrap();
        }
        assert_eq!(mounts::at(&node.store).len(), 1);
        assert_eq!(mounts::at(&node.kept_at("pv")).len(), 1);
        assert_eq!(names(&bpffs), ["csi".to_owned()].into());
        node.unpublish("pv", &wanted.target()).unwrap();
        node.stop_by(Signal::KILL);
    }
    node.start_pinner(&[]);
    assert!(node.kept_at("pv").join("flows").exists());
    node.release("pv").unwrap();
    assert!(!node.kept_at("pv").exists());
    assert_eq!(mounts::beneath(&node.store).len(), 1);
}

#[test]
fn calls_that_race_for_the_first_use_make_one() {
    let node = Node::start();
    for round in 0..20 {
        let id = format!("pv{round}");
        let requests = ["a", "b", "c", "d"].map(|pod| Workspace::new(&id, &node.pod(pod, &id)));
        let calls = requests.clone();
        node.run(|pinner| async move {
            let calls = calls.map(|wanted| {
                let mut pinner = pinner.clone();
                tokio::spawn(async move { pinner.publish_workspace(wanted.0).await })
            });
            for call in calls {
                call.await.unwrap().unwrap();
            }
        });
        assert_eq!(mounts::at(&node.kept_at(&id)).len(), 1);
        let devices: Vec<_> = requests.iter().map(|wanted| fs::metadata(wanted.target()).unwrap().dev()).collect();
        assert!(devices.iter().all(|device| *device == fs::metadata(node.kept_at(&id)).unwrap().dev()), "{devices:?}");
    }
}

#[test]
fn malformed_requests_name_the_field() {
    let node = Node::start();
    let good = Workspace::new("pv", &node.pod("pod", "pv"));
    let id = |id: &str| Workspace::new(id, &good.target());
    let target = |target: &str| Workspace::new("pv", Path::new(target));
    let outside = node.root.join("outside/mount");
    for (wanted, part) in [
        (id(""), "volume_id: must have 1 to 128 characters"),
        (id(&"x".repeat(129)), "volume_id: must have 1 to 128 characters, has 129"),
        (id("a.b"), "volume_id: '.'"),
        (id(".."), "volume_id: '.'"),
        (id("a/b"), "volume_id: '/'"),
        (target("pods/mount"), "target_path: "),
        (target(outside.to_str().unwrap()), "is not beneath the kubelet's directory"),
        (
            target(node.kubelet.join("pods/gone/volumes/kubernetes.io~csi/pv/mount").to_str().unwrap()),
            "the parent directory of",
        ),
        (Workspace(good.0.clone()).gid(u32::MAX), "gid: 4294967295"),
        (Workspace(good.0.clone()).claim("prod/a b"), "claim: ' '"),
        (Workspace(good.0.clone()).claim(&"x".repeat(385)), "claim: must have 1 to 384 characters, has 385"),
    ] {
        for wanted in [Workspace(wanted.0.clone()).read_only(), wanted] {
            assert_refused(node.publish_workspace(&wanted), Code::InvalidArgument, &[part]);
        }
    }
    assert!(!good.target().exists());
    assert_eq!(node.kept(), [] as [&str; 0]);
}
