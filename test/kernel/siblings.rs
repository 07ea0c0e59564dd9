//! A pod never has a workspace together with a read-only map: it could pin the map again in the workspace and open that
//! pin for writing.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bpffs_pinner::api::publish_volume_response::Outcome;
use bpffs_pinner::sys::mount;
use rustix::io::Errno;
use tokio::time::sleep;
use tonic::Code;

use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::{Wanted, Workspace, pinned};
use crate::support::{assert_refused, both_ways, map, mounts};

const REFUSED: Code = Code::FailedPrecondition;

/// Pins a read-only map again in a writable directory, and writes to it.
fn escalate(user: User, read_only: &Path, directory: &Path) -> Result<(), Errno> {
    user.run(|| {
        assert!(map::open_writable(read_only).is_err());
        let map = map::open_read_only(read_only).unwrap();
        map::pin(map.as_fd(), &directory.join("again"))?;
        let map = map::open_writable(&directory.join("again"))?;
        map::update(map.as_fd(), 1, 666)
    })
}

fn maps(node: &Node, pod: &str) -> Wanted {
    if !node.pins.join("flows").exists() {
        node.map("flows", 7);
    }
    Wanted::new("maps", &node.pod(pod, "maps")).read("flows", pinned(&node.pins.join("flows")))
}

fn workspace(node: &Node, pod: &str) -> Workspace {
    Workspace::new("pv", &node.pod(pod, "pv"))
}

/// What the two together allow, shown by one process with the volumes of two pods.
fn together_they_would_open_every_map(node: &Node) {
    let (maps, workspace) = (maps(node, "one"), workspace(node, "two"));
    node.publish(&maps).unwrap();
    node.publish_workspace(&workspace).unwrap();
    let source = map::open_read_only(&node.pins.join("flows")).unwrap();
    assert_eq!(map::lookup(source.as_fd(), 1), Ok(7));

    assert_eq!(escalate(User::loader(65534), &maps.target().join("flows"), &workspace.target()), Ok(()));

    assert_eq!(map::lookup(source.as_fd(), 1), Ok(666));
}

fn maps_to_read_are_refused_beside_a_workspace(node: &Node) {
    let (maps, workspace) = (maps(node, "pod"), workspace(node, "pod"));
    node.publish_workspace(&workspace).unwrap();
    let before = mounts::snapshot(&node.kubelet);
    let user = Wanted(maps.request()).in_user_namespace();
    for maps in [&maps, &Wanted(maps.request()).gid(1), &user] {
        let target = workspace.target();
        let parts = ["workspace \"pv\"", target.to_str().unwrap(), "flows", ":rw", "two pods"];
        assert_refused(node.publish(maps), REFUSED, &parts);
    }
    assert_eq!(mounts::snapshot(&node.kubelet), before);

    node.unpublish("pv", &workspace.target()).unwrap();
    assert_eq!(node.publish(&maps).unwrap(), Outcome::Created);
}

fn a_workspace_is_refused_beside_maps_to_read(node: &Node) {
    let workspace = workspace(node, "pod");
    let plain = maps(node, "pod");
    let (_limits, limits) = node.map("limits", 1);
    let mixed = Wanted(plain.request()).write("limits", limits).gid(1);
    let user = Wanted(mixed.request()).in_user_namespace();
    for maps in [plain, mixed, user] {
        node.publish(&maps).unwrap();
        let before = mounts::snapshot(&node.kubelet);
        let target = maps.target();
        let parts = ["the volume ", target.to_str().unwrap(), "read-only map \"flows\"", ":rw", "two pods"];
        assert_refused(node.publish_workspace(&workspace), REFUSED, &parts);
        assert_eq!(mounts::snapshot(&node.kubelet), before);
        node.unpublish("maps", &maps.target()).unwrap();
    }
    assert_eq!(node.publish_workspace(&workspace).unwrap(), Outcome::Created);
}

fn maps_to_write_and_other_pods_do_not_matter(node: &Node) {
    let workspace = workspace(node, "pod");
    let mut writable = maps(node, "pod");
    writable.0.maps[0].access = bpffs_pinner::api::Access::ReadWrite.into();
    let elsewhere = maps(node, "another pod");
    let user = Wanted(writable.request()).in_user_namespace();
    let user = Wanted(bpffs_pinner::api::PublishVolumeRequest {
        target_path: node.pod("pod", "user").to_str().unwrap().to_owned(),
        ..user.0
    });
    for workspace_first in [true, false] {
        if workspace_first {
            node.publish_workspace(&workspace).unwrap();
        }
        for wanted in [&writable, &elsewhere, &user] {
            assert_eq!(node.publish(wanted).unwrap(), Outcome::Created);
        }
        if !workspace_first {
            node.publish_workspace(&workspace).unwrap();
        }
        for wanted in [&writable, &elsewhere, &user] {
            assert_eq!(node.publish(wanted).unwrap(), Outcome::Unchanged);
            node.unpublish("maps", &wanted.target()).unwrap();
        }
        node.unpublish("pv", &workspace.target()).unwrap();
    }
}

fn a_workspace_shown_read_only_is_maps_to_read(node: &Node) {
    let other = Workspace::new("other", &node.pod("loader", "other"));
    node.publish_workspace(&other).unwrap();
    let (view, own) = (Workspace::new("other", &node.pod("pod", "view")).read_only(), workspace(node, "pod"));

    // It is still empty, so there is nothing to pin again.
    node.publish_workspace(&view).unwrap();
    node.publish_workspace(&own).unwrap();
    map::pin(map::hash("flows", 7).as_fd(), &other.target().join("flows")).unwrap();

    let before = mounts::snapshot(&node.kubelet);
    assert_refused(node.publish_workspace(&view), REFUSED, &["workspace \"pv\"", "flows", ":rw"]);
    assert_eq!(mounts::snapshot(&node.kubelet), before);
    node.unpublish("pv", &own.target()).unwrap();
    assert_eq!(node.publish_workspace(&view).unwrap(), Outcome::Replaced);
    assert_refused(node.publish_workspace(&own), REFUSED, &["read-only map \"flows\"", ":rw"]);
}

/// The rule holds for later generations too, even if the workspace got there by other means. The map is left out: a
/// refusal would leave the previous generation, perhaps with a map that was withdrawn.
fn a_new_generation_has_no_map_to_read_beside_a_workspace(node: &Node) {
    let (_limits, limits) = node.map("limits", 1);
    let maps = maps(node, "pod").write("limits", limits).renew();
    node.publish(&maps).unwrap();
    let elsewhere = workspace(node, "another pod");
    node.publish_workspace(&elsewhere).unwrap();
    let by_hand = node.pod("pod", "pv");
    fs::create_dir(&by_hand).unwrap();
    rustix::mount::mount_bind_recursive(elsewhere.target(), &by_hand).unwrap();
    assert_eq!(node.publish(&maps).unwrap(), Outcome::Unchanged);

    fs::remove_file(node.pins.join("flows")).unwrap();
    let _other = node.map("flows", 8);
    assert_eq!(node.publish(&maps).unwrap(), Outcome::Replaced);
    assert!(!maps.target().join("flows").exists());
    assert!(map::open_writable(&maps.target().join("limits")).is_ok());
    assert_eq!(node.publish(&maps).unwrap(), Outcome::Unchanged);

    rustix::mount::unmount(&by_hand, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(node.publish(&maps).unwrap(), Outcome::Replaced);
    assert!(map::open_read_only(&maps.target().join("flows")).is_ok());
}

/// The pod that has it can still write to it.
fn a_workspace_that_is_kept_no_more_counts(node: &Node) {
    if !node.shows_sources("a workspace that is kept no more beside maps to read") {
        return;
    }
    let workspace = workspace(node, "pod");
    node.publish_workspace(&workspace).unwrap();
    rustix::mount::unmount(node.kept_at("pv"), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_refused(node.publish(&maps(node, "pod")), REFUSED, &["workspace \"pv\"", ":rw"]);
}

/// Mounts a filesystem in the place of a pod's volume, as another driver would.
fn foreign(node: &Node, pod: &str, name: &str, filesystem: &'static std::ffi::CStr, read_only: bool) -> PathBuf {
    let target = node.pod(pod, name);
    fs::create_dir(&target).unwrap();
    let mount = mount::detached(filesystem, &[(c"source", c"another-driver"), (c"mode", c"0755")]).unwrap();
    if filesystem == c"bpf" {
        let path = bpffs_pinner::sys::path::through_descriptor(mount.as_fd(), c"foreign");
        bpffs_pinner::sys::bpf::pin(map::hash("foreign", 1).as_fd(), &path).unwrap();
    }
    if read_only {
        mount::make_superblock_read_only(mount.as_fd()).unwrap();
    }
    mount::attach(mount.as_fd(), rustix::fs::CWD, &CString::new(target.to_str().unwrap()).unwrap()).unwrap();
    target
}

fn what_is_not_ours_does_not_count(node: &Node) {
    for pod in ["maps", "workspace"] {
        let at = |name: &str| node.pod(pod, name);
        foreign(node, pod, "a bpffs", c"bpf", false);
        foreign(node, pod, "a tmpfs", c"tmpfs", false);
        foreign(node, pod, "read-only", c"tmpfs", true);
        if node.shows_sources("a foreign read-only bpffs beside a workspace") {
            foreign(node, pod, "a read-only bpffs", c"bpf", true);
        }
        fs::create_dir(at("a directory")).unwrap();
        fs::write(at("a file"), "content").unwrap();
        symlink("/", at("a link")).unwrap();
        let parent = at("nothing").parent().unwrap().parent().unwrap().to_owned();
        fs::write(parent.join("no directory"), "content").unwrap();
        symlink(node.pod("elsewhere", "pv").parent().unwrap(), parent.join("linked")).unwrap();
        symlink("nowhere", parent.join("dangling")).unwrap();
    }
    node.publish_workspace(&workspace(node, "elsewhere")).unwrap();
    assert_eq!(node.publish(&maps(node, "maps")).unwrap(), Outcome::Created);
    assert_eq!(node.publish_workspace(&workspace(node, "workspace")).unwrap(), Outcome::Created);
}

both_ways!(
    together_they_would_open_every_map,
    maps_to_read_are_refused_beside_a_workspace,
    a_workspace_is_refused_beside_maps_to_read,
    maps_to_write_and_other_pods_do_not_matter,
    a_workspace_shown_read_only_is_maps_to_read,
    a_new_generation_has_no_map_to_read_beside_a_workspace,
    a_workspace_that_is_kept_no_more_counts,
    what_is_not_ours_does_not_count,
);

#[test]
fn one_of_two_calls_at_the_same_time_is_refused() {
    const ROUNDS: usize = 150;
    let node = Node::start();
    let (maps, workspace) = (&maps(&node, "pod"), &workspace(&node, "pod"));
    let start = Instant::now();
    node.publish(maps).unwrap();
    let alone = start.elapsed();
    node.unpublish("maps", &maps.target()).unwrap();
    let mut first = [0, 0];
    for round in 0..ROUNDS {
        // Delays one of them by up to twice the duration of a publish, so that they overlap on any machine.
        let later = alone * 2 * u32::try_from(round).unwrap() / u32::try_from(ROUNDS).unwrap();
        let delays = if round % 2 == 0 { [later, Duration::ZERO] } else { [Duration::ZERO, later] };
        let (published, attached) = node.run(|pinner| async move {
            let (mut one, mut two) = (pinner.clone(), pinner);
            let (maps, workspace) = (maps.request(), workspace.0.clone());
            let one = tokio::spawn(async move {
                sleep(delays[0]).await;
                one.publish_volume(maps).await
            });
            let two = tokio::spawn(async move {
                sleep(delays[1]).await;
                two.publish_workspace(workspace).await
            });
            (one.await.unwrap(), two.await.unwrap())
        });
        assert_ne!(published.is_ok(), attached.is_ok(), "{published:?} {attached:?}");
        first[usize::from(attached.is_ok())] += 1;
        let refused = published.map(drop).err().or(attached.map(drop).err()).unwrap();
        assert_eq!(refused.code(), REFUSED, "{refused:?}");
        for wanted in [("maps", maps.target()), ("pv", workspace.target())] {
            node.unpublish(wanted.0, &wanted.1).unwrap();
        }
    }
    assert_eq!(mounts::beneath(&node.kubelet), []);
    // If one always came too late, nothing was tested.
    assert!(first.iter().all(|times| *times > 0), "{first:?}");
}
