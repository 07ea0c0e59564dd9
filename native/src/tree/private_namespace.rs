//! Composes trees in a private mount namespace, for kernels before 6.15.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::cover::{Cover, cover};
use crate::sys::path::ensure_entry;
use crate::sys::{Context, Result, mount};

/// Where the tree is attached in the private namespace.
const TREE: &CStr = c"tree";

/// A request to the thread. Each of `covers` has the index of its mount in `parts`, and its path.
struct Job {
    mount: OwnedFd,
    root: CString,
    parts: Vec<OwnedFd>,
    covers: Vec<(usize, CString)>,
}

/// A thread in its own mount namespace, which is otherwise empty.
#[derive(Debug)]
pub struct Workshop {
    jobs: SyncSender<Job>,
    trees: Receiver<Result<OwnedFd>>,
}

impl Workshop {
    pub(super) fn open() -> Result<Self> {
        let (jobs, job_queue) = sync_channel::<Job>(0);
        let (results, trees) = sync_channel(1);
        thread::Builder::new()
            .name("compose".to_owned())
            .spawn(move || {
                let entered = enter_private_namespace();
                let failed = entered.is_err();
                if results.send(entered).is_err() || failed {
                    return;
                }
                for job in job_queue {
                    let is_wanted = results.send(job.compose()).is_ok();
                    job.clean_up();
                    if !is_wanted {
                        return;
                    }
                }
            })
            .context("clone", || "thread".to_owned())?;
        let ready: Result<OwnedFd> = trees.recv().map_err(|_| Errno::PIPE).context("compose", gone)?;
        ready?;
        Ok(Self { jobs, trees })
    }

    pub(super) fn compose(&self, mount: OwnedFd, root: &CStr, covers: &[Cover<'_>]) -> Result<OwnedFd> {
        let mut mounts: Vec<BorrowedFd<'_>> = Vec::new();
        let covers = covers
            .iter()
            .map(|cover| {
                let known = mounts.iter().position(|mount| mount.as_raw_fd() == cover.from.as_raw_fd());
                let part = known.unwrap_or_else(|| {
                    mounts.push(cover.from);
                    mounts.len() - 1
                });
                (part, cover.name.to_owned())
            })
            .collect();
        let parts =
            mounts.into_iter().map(|part| rustix::io::fcntl_dupfd_cloexec(part, 0)).collect::<rustix::io::Result<_>>();
        let job = Job { mount, root: root.to_owned(), parts: parts.context("dup", String::new)?, covers };
        self.jobs.send(job).map_err(|_| Errno::PIPE).context("compose", gone)?;
        self.trees.recv().map_err(|_| Errno::PIPE).context("compose", gone)?
    }
}

impl Job {
    /// Unmounts whatever `compose` attached, even if it failed half-way.
    fn clean_up(self) {
        let _ = unmount(TREE, UnmountFlags::DETACH);
        for part in 0..self.parts.len() {
            let _ = unmount(part_name(part).as_c_str(), UnmountFlags::DETACH);
        }
    }

    fn compose(&self) -> Result<OwnedFd> {
        mount::attach(self.mount.as_fd(), CWD, TREE)?;
        for (index, part) in self.parts.iter().enumerate() {
            mount::attach(part.as_fd(), CWD, &part_name(index))?;
        }
        let tree = open_beneath(TREE, &self.root)?;
        for (part, name) in &self.covers {
            cover(tree.as_fd(), name, self.parts[*part].as_fd())?;
        }
        mount::clone_tree(tree.as_fd(), c"")
    }
}

/// Opens the directory `name` in `directory`, or `directory` itself for an empty name.
fn open_beneath(directory: &CStr, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty()).context("open", String::new)?;
    if name.is_empty() {
        return Ok(directory);
    }
    rustix::fs::openat(&directory, name, flags, Mode::empty()).context("openat", || name.to_string_lossy().into_owned())
}

fn part_name(index: usize) -> CString {
    CString::new(format!("part{index}")).unwrap_or_default()
}

/// Moves the calling thread to a new mount namespace and empties it: a copy of the host's mounts would keep other
/// drivers' volumes busy for as long as the pinner lives.
///
/// # Errors
/// Any kernel error; the thread is unusable then.
pub fn enter_private_namespace() -> Result<OwnedFd> {
    // SAFETY: the thread was created for this; nothing in it relies on sharing its working directory.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.context("unshare", String::new)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("mount(private)", String::new)?;
    let root = mount::detached(c"tmpfs", &[(c"source", c"csi-bpffs-compose"), (c"mode", c"0700"), (c"size", c"16k")])?;
    for name in [TREE, &part_name(0), &part_name(1)] {
        ensure_entry(root.as_fd(), name)?;
    }
    // pivot_root needs some directory for the new root; this one exists on every Linux.
    mount::attach(root.as_fd(), CWD, c"/proc")?;
    rustix::process::fchdir(root.as_fd()).context("fchdir", String::new)?;
    rustix::process::pivot_root(c".", c".").context("pivot_root", String::new)?;
    unmount(c".", UnmountFlags::DETACH).context("umount2", || "the old root".to_owned())?;
    rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context("open", || "/".to_owned())
}

pub(super) fn gone() -> String {
    "the thread with the private mount namespace is gone".to_owned()
}
