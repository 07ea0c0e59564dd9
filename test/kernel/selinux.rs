//! With SELinux enforcing: what the kubelet and the container runtime do to a volume, and what a confined pod may then
//! do.
//!
//! Uses the policy `test/kernels/selinux.cil` with the modules of `deploy/selinux`, in a virtual machine.

use std::ffi::{CStr, OsString};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use bpffs_pinner::api::Access;
use bpffs_pinner::api::publish_volume_response::Outcome;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::{Wanted, Workspace};
use crate::support::{both_ways, map, mounts, skipped};

const LABEL: &CStr = c"security.selinux";
const READER: &str = "system_u:system_r:bpf-reader.process:s0";
const WRITER: &str = "system_u:system_r:bpf-writer.process:s0";
/// Domains of pods that may use no map: the usual one, and one that may not even use files of a bpf filesystem.
const OTHERS: [&str; 2] = ["system_u:system_r:container_t:s0", "system_u:system_r:stranger_t:s0"];
const OF_A_PODS_FILES: &[u8] = b"system_u:object_r:container_file_t:s0";

/// Whether the kernel enforces that policy; if not, reports `test` as skipped.
fn enforces(test: &str) -> bool {
    if fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|enforce| enforce == "1")
        && as_domain(READER, || ()).is_ok()
    {
        return true;
    }
    skipped(test, "no SELinux here that enforces the policy for it");
    false
}

/// Runs `work` in another domain. A thread can only change to a domain that the policy bounds by its own.
fn as_domain<T: Send>(domain: &str, work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    let joined = thread::scope(|scope| {
        let become_and_work = || fs::write("/proc/thread-self/attr/current", domain).map(|()| work());
        scope.spawn(become_and_work).join()
    });
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs `work` as a process of a pod, confined and not root, with the volume as its working directory, because the path
/// to it leads through this test's directories.
fn in_pod<T: Send>(domain: &str, volume: &Path, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let enter_and_work = || {
            // SAFETY: this thread was created for this, and nothing in it relies on the working directory.
            unsafe { unshare_unsafe(UnshareFlags::FS) }.unwrap();
            rustix::process::chdir(volume).unwrap();
            as_domain(domain, || User::loader(65534).run(work)).unwrap()
        };
        scope.spawn(enter_and_work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The files of the working directory, as `ls -l` looks at them.
fn list() -> std::io::Result<Vec<OsString>> {
    let names = fs::read_dir(".")?.map(|entry| {
        let entry = entry?;
        entry.metadata().map(|_| entry.file_name())
    });
    names.collect()
}

fn is_relabelled(mount: &mounts::Mount) -> bool {
    mount.super_options.split(',').any(|option| option == "seclabel")
}

/// What happens before a container starts: if the volume's mount supports labels, the runtime gives everything in it
/// the label of the pod's files. Filesystems that refuse labels are left alone.
fn start_container(volume: &Path) -> Result<(), Errno> {
    if mounts::at(volume).last().is_some_and(is_relabelled) { relabel(volume) } else { Ok(()) }
}

fn relabel(path: &Path) -> Result<(), Errno> {
    match rustix::fs::lsetxattr(path, LABEL, OF_A_PODS_FILES, XattrFlags::empty()) {
        Ok(()) | Err(Errno::OPNOTSUPP) => {}
        Err(errno) => return Err(errno),
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            relabel(&entry.unwrap().path())?;
        }
    }
    Ok(())
}

fn label(path: &Path) -> String {
    let mut buffer = [0; 256];
    let length = rustix::fs::lgetxattr(path, LABEL, &mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn assert_not_relabelled(node: &Node, volume: &Path) {
    assert_eq!(start_container(volume), Ok(()));
    let relabelled: Vec<_> = mounts::beneath(volume).into_iter().filter(is_relabelled).collect();
    assert_eq!(relabelled, []);
    // A policy labels all bpffs alike.
    assert_eq!(label(volume), label(&node.pins));
}

fn a_confined_pod_has_its_maps(node: &Node) {
    if !enforces("a confined pod") {
        return;
    }
    for in_user_namespace in [false, true] {
        let name = |name: &str| format!("{name}{in_user_namespace}");
        let (flows, limits) = (node.map(&name("flows"), 7).1, node.map(&name("limits"), 8).1);
        let wanted =
            Wanted::new(&name("volume"), &node.target(&name("pod"))).read("flows", flows).write("limits", limits);
        let mut wanted = wanted.renew();
        wanted.0.user_namespace = in_user_namespace;
        node.publish(&wanted).unwrap();
        assert_not_relabelled(node, &wanted.target());

        let open = |name: &str, writable: bool| {
            let opened = if writable { map::open_writable(name.as_ref()) } else { map::open_read_only(name.as_ref()) };
            map::lookup(opened?.as_fd(), 1)
        };
        for (domain, writing) in [(READER, Err(Errno::ACCESS)), (WRITER, Ok(8))] {
            in_pod(domain, &wanted.target(), || {
                assert!(["flows", "limits"].iter().all(|name| list().unwrap().iter().any(|file| file == name)));
                assert_eq!(open("flows", false), Ok(7));
                assert_eq!(open("flows", true), Err(Errno::ROFS));
                assert_eq!(open("limits", false), Ok(8));
                assert_eq!(open("limits", true), writing);
            });
        }
        // So it is the modules that allow it.
        for domain in OTHERS {
            in_pod(domain, &wanted.target(), || {
                assert_eq!(open("flows", false), Err(Errno::ACCESS));
                assert_eq!(open("limits", true), Err(Errno::ACCESS));
            });
        }

        // The same for the next generation, and for one without maps.
        wanted.0.maps[1].access = Access::ReadOnly.into();
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);
        assert_not_relabelled(node, &wanted.target());
        in_pod(WRITER, &wanted.target(), || {
            assert_eq!(open("limits", false), Ok(8));
            assert_eq!(open("limits", true), Err(Errno::ROFS));
        });
        wanted.0.maps.clear();
        assert_eq!(node.publish(&wanted).unwrap(), Outcome::Replaced);
        assert_not_relabelled(node, &wanted.target());
        node.unpublish(&wanted.0.volume_id, &wanted.target()).unwrap();
    }
}

fn a_workspace_is_not_relabelled(node: &Node) {
    if !enforces("a workspace") {
        return;
    }
    let workspace = Workspace::new("pv", &node.pod("loader", "pv"));
    node.publish_workspace(&workspace).unwrap();
    let pin = workspace.target().join("flows");
    map::pin(map::hash("flows", 7).as_fd(), &pin).unwrap();
    fs::set_permissions(pin, fs::Permissions::from_mode(0o644)).unwrap();
    let view = Workspace::new("pv", &node.pod("reader", "pv")).read_only();
    node.publish_workspace(&view).unwrap();
    for volume in [workspace.target(), view.target()] {
        assert_not_relabelled(node, &volume);
        let value = || map::lookup(map::open_read_only("flows".as_ref())?.as_fd(), 1);
        assert_eq!(in_pod(READER, &volume, value), Ok(7));
    }
}

both_ways!(a_confined_pod_has_its_maps, a_workspace_is_not_relabelled);
