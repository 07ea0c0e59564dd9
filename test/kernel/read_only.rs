//! A read-only map and a closed directory hold against uid 0, with all capabilities but the two that no volume can
//! hold, and against a user without any, as seen from a container's bind mount of the volume, remounted writable.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::CWD;
use rustix::io::{Errno, Result};
use rustix::mount::{FsOpenFlags, FsPickFlags};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::support::attempt::{assert_all_fail, changing, changing_directory, opening_for_writing, pinning};
use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::Wanted;
use crate::support::{both_ways, map, mounts, skipped};

const FLOWS: u64 = 7;
const LIMITS: u64 = 8;

/// The containers' views of two volumes, each with a read-only map (`flows`) and a writable one (`limits`).
struct Pod {
    one: PathBuf,
    two: PathBuf,
    flows: OwnedFd,
    limits: OwnedFd,
}

impl Pod {
    fn new(node: &Node, in_user_namespace: bool) -> Self {
        let (flows, flows_source) = node.map("flows", FLOWS);
        let (limits, limits_source) = node.map("limits", LIMITS);
        let [one, two] = ["one", "two"].map(|name| {
            let wanted = Wanted::new(name, &node.target(name));
            let wanted = wanted.read("flows", flows_source.clone()).write("limits", limits_source.clone());
            let wanted = if in_user_namespace { wanted.in_user_namespace() } else { wanted };
            node.publish(&wanted).unwrap();
            let view = node.root.join("container").join(name);
            mounts::container_view(&wanted.target(), &view);
            view
        });
        Self { one, two, flows, limits }
    }

    fn volumes(&self) -> [&Path; 2] {
        [&self.one, &self.two]
    }
}

fn users() -> [(&'static str, User); 2] {
    [("uid 0 with all capabilities held", User::strongest_held()), ("uid 65534", User::NOBODY)]
}

fn may_use_maps(node: &Node) -> bool {
    node.has("unprivileged-maps", "reading and writing by a process without CAP_BPF")
}

fn nothing_changes_what_is_read_only(node: &Node, in_user_namespace: bool) {
    let pod = Pod::new(node, in_user_namespace);
    let may_use_maps = may_use_maps(node);
    for (who, user) in users() {
        user.run(|| {
            assert_all_fail(who, opening_for_writing(&pod.one.join("flows")));
            for volume in pod.volumes() {
                assert_all_fail(who, changing_directory(volume));
            }
            if !may_use_maps {
                return;
            }
            let flows = map::open_read_only(&pod.one.join("flows")).unwrap();
            assert_all_fail(who, changing(flows.as_fd()));
            assert_all_fail(who, pinning(flows.as_fd(), &pod.volumes()));
        });
    }
    assert_eq!(map::keys(pod.flows.as_fd()), Ok(vec![1]));
    assert_eq!(map::lookup(pod.flows.as_fd(), 1), Ok(FLOWS));
    // This would fail if the map were frozen.
    map::update(pod.flows.as_fd(), 1, FLOWS).unwrap();
}

fn what_is_read_only_can_be_read(node: &Node) {
    if !may_use_maps(node) {
        return;
    }
    let pod = Pod::new(node, false);
    map::update(pod.flows.as_fd(), 2, 9).unwrap();
    for (who, user) in users() {
        user.run(|| {
            let flows = map::open_read_only(&pod.one.join("flows")).unwrap();
            let flows = flows.as_fd();
            let mut keys = map::keys(flows).unwrap();
            keys.sort_unstable();
            assert_eq!(keys, [1, 2], "{who}");
            assert_eq!(map::lookup(flows, 1), Ok(FLOWS), "{who}");
            assert_eq!(map::lookup(flows, 3), Err(Errno::NOENT), "{who}");
            assert_eq!(map::lookup_batch(flows), Ok(()), "{who}");
            assert_eq!(map::info(flows), Ok(()), "{who}");
        });
    }
}

fn what_is_granted_for_writing_can_be_written_and_nothing_else(node: &Node, in_user_namespace: bool) {
    if !may_use_maps(node) {
        return;
    }
    let pod = Pod::new(node, in_user_namespace);
    for (value, (who, user)) in (100..).zip(users()) {
        user.run(|| {
            let limits = map::open_writable(&pod.one.join("limits")).unwrap();
            let limits = limits.as_fd();
            map::update(limits, 1, value).unwrap();
            map::update(limits, 2, value).unwrap();
            map::delete(limits, 2).unwrap();
            assert_eq!(map::lookup(limits, 1), Ok(value), "{who}");
            assert_all_fail(who, pinning(limits, &pod.volumes()));
            let read_only = map::open_read_only(&pod.one.join("limits")).unwrap();
            assert_all_fail(who, pinning(read_only.as_fd(), &pod.volumes()));
            assert_all_fail(who, changing(read_only.as_fd()));
        });
        assert_eq!(map::keys(pod.limits.as_fd()), Ok(vec![1]), "{who}");
        assert_eq!(map::lookup(pod.limits.as_fd(), 1), Ok(value), "{who}");
    }
}

fn read_only_holds(node: &Node) {
    nothing_changes_what_is_read_only(node, false);
}

fn read_only_holds_for_a_user_namespace(node: &Node) {
    nothing_changes_what_is_read_only(node, true);
}

fn a_write_grant_opens_one_map(node: &Node) {
    what_is_granted_for_writing_can_be_written_and_nothing_else(node, false);
}

fn a_write_grant_opens_one_map_for_a_user_namespace(node: &Node) {
    what_is_granted_for_writing_can_be_written_and_nothing_else(node, true);
}

both_ways!(
    read_only_holds,
    read_only_holds_for_a_user_namespace,
    what_is_read_only_can_be_read,
    a_write_grant_opens_one_map,
    a_write_grant_opens_one_map_for_a_user_namespace,
);

/// Runs `attempt` in a process that has become uid 65534 and root of its own user namespace.
fn in_ones_own_user_namespace(attempt: impl Fn() -> Result<()> + Send + Sync + 'static) -> Result<()> {
    let become_it_and_try = move || {
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody)?;
        // SAFETY: this process has one thread, and afterwards does only what is tried.
        unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }
            .map_err(|_| std::io::Error::from(Errno::NOSYS))?;
        Ok(attempt()?)
    };
    let mut command = Command::new("/proc/self/exe");
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.arg("--list").pre_exec(become_it_and_try) };
    command.output().map(drop).map_err(|error| Errno::from_io_error(&error).unwrap())
}

#[test]
fn a_user_namespace_of_ones_own_helps_nobody() {
    let node = Node::start();
    let pod = Pod::new(&node, false);
    if in_ones_own_user_namespace(|| Ok(())) == Err(Errno::NOSYS) {
        return skipped("a user namespace of one's own", "this kernel gives none to uid 65534");
    }
    let volume = pod.one.clone();
    let make_writable = move || {
        let context = rustix::mount::fspick(CWD, &volume, FsPickFlags::FSPICK_CLOEXEC)?;
        rustix::mount::fsconfig_set_flag(context.as_fd(), c"rw")?;
        rustix::mount::fsconfig_reconfigure(context.as_fd())
    };
    assert_eq!(in_ones_own_user_namespace(make_writable), Err(Errno::PERM));
    let mount_ones_own = || {
        let context = rustix::mount::fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_create(context.as_fd())
    };
    assert_eq!(in_ones_own_user_namespace(mount_ones_own), Err(Errno::PERM));
    let uncover = {
        let limits = pod.one.join("limits");
        move || rustix::mount::unmount(&limits, rustix::mount::UnmountFlags::DETACH)
    };
    // Mounts that came from the parent namespace are locked together.
    assert_eq!(in_ones_own_user_namespace(uncover), Err(Errno::INVAL));
    assert!(fs::read_dir(&pod.one).unwrap().count() >= 2);
}
