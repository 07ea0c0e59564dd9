//! Taking a directory of a mount for the root of a tree that is mounted nowhere yet, and mounting single files over others in
//! it.
//!
//! Since Linux 6.15 the kernel does that as it is. Before, all ends must be attached in the caller's mount namespace: a
//! thread with a private, empty one does it there and hands the finished tree back as a descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::leftovers::Leftovers;
use crate::sys::path::ensure_entry;
use crate::sys::{Context, Result, mount};

/// Where a tree under construction is attached in the private namespace.
const TREE: &CStr = c"tree";

/// A file that takes the place of its namesake in the tree.
#[derive(Clone, Copy, Debug)]
pub struct Cover<'a> {
    /// The detached mount that has it.
    pub from: BorrowedFd<'a>,
    /// Its name, there and in the tree.
    pub name: &'a CStr,
}

/// Puts trees together.
#[derive(Debug)]
pub struct Composer {
    /// What SELinux calls a bpffs; `None` without SELinux.
    pub label: Option<CString>,
    way: Way,
    leftovers: Leftovers,
}

/// How that is done on this kernel.
#[derive(Debug)]
enum Way {
    /// On the detached tree itself.
    Direct,
    /// In a private mount namespace.
    Namespace(Mutex<Workshop>),
}

impl Composer {
    /// Chooses by trying.
    ///
    /// # Errors
    /// When neither way works.
    pub fn new() -> Result<Self> {
        if composes_detached().is_ok() { Self::by(Way::Direct) } else { Self::in_namespace() }
    }

    /// The way of older kernels, which newer ones know too. The thread behind it inherits the caller's capabilities.
    ///
    /// # Errors
    /// When the private namespace cannot be made.
    pub fn in_namespace() -> Result<Self> {
        Self::by(Way::Namespace(Mutex::new(Workshop::open()?)))
    }

    fn by(way: Way) -> Result<Self> {
        Ok(Self { label: super::label()?, way, leftovers: Leftovers::open()? })
    }

    /// Closes a detached mount that is of no more use, soon.
    pub fn discard(&self, mount: OwnedFd) {
        self.leftovers.close(mount);
    }

    /// The directory `root` of a detached mount as a tree, or all of it for an empty name, with the covers over their
    /// namesakes. The mounts that the covers come from are used up, to be discarded.
    ///
    /// # Errors
    /// Whatever the mount calls say; nothing of it is left then.
    pub fn compose(&self, mount: OwnedFd, root: &CStr, covers: &[Cover<'_>]) -> Result<OwnedFd> {
        if root.is_empty() && covers.is_empty() {
            return Ok(mount);
        }
        match &self.way {
            Way::Direct => {
                let tree = if root.is_empty() {
                    mount
                } else {
                    let tree = mount::clone(mount.as_fd(), root)?;
                    self.discard(mount);
                    tree
                };
                for Cover { from, name } in covers {
                    cover(tree.as_fd(), name, *from)?;
                }
                Ok(tree)
            }
            Way::Namespace(workshop) => {
                let workshop = workshop.lock().map_err(|_| Errno::PIPE).context("compose", gone)?;
                workshop.compose(mount, root, covers)
            }
        }
    }
}

fn gone() -> String {
    "the thread with the private mount namespace is gone".to_owned()
}

/// Tries to take a directory of a detached mount, and to mount a file onto it.
///
/// # Errors
/// `EINVAL` where this kernel does not do that.
pub fn composes_detached() -> Result<()> {
    const FILE: &CStr = c"file";
    let mount = mount::detached(c"tmpfs", &[(c"source", c"csi-bpffs-probe"), (c"mode", c"0700"), (c"size", c"4k")])?;
    ensure_entry(mount.as_fd(), TREE)?;
    let tree = mount::clone(mount.as_fd(), TREE)?;
    for directory in [mount.as_fd(), tree.as_fd()] {
        make_file(directory, FILE)?;
    }
    cover(tree.as_fd(), FILE, mount.as_fd())
}

/// Mounts the file `name` of `from` over its namesake in `tree`.
fn cover(tree: BorrowedFd<'_>, name: &CStr, from: BorrowedFd<'_>) -> Result<()> {
    mount::attach(mount::clone(from, name)?.as_fd(), tree, name)
}

/// Makes an empty file for others to be mounted over.
///
/// # Errors
/// Whatever `mknod(2)` says.
pub fn make_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    rustix::fs::mknodat(directory, name, FileType::RegularFile, Mode::from_raw_mode(0o444), 0)
        .context("mknod", || name.to_string_lossy().into_owned())
}

/// What the thread is asked for: a mount, what of it is the tree, the mounts that covers come from, and for each cover its
/// index among them.
struct Job {
    mount: OwnedFd,
    root: CString,
    parts: Vec<OwnedFd>,
    covers: Vec<(usize, CString)>,
}

/// A thread in a mount namespace of its own, in which nothing else is mounted.
#[derive(Debug)]
pub struct Workshop {
    jobs: SyncSender<Job>,
    trees: Receiver<Result<OwnedFd>>,
}

impl Workshop {
    fn open() -> Result<Self> {
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

    fn compose(&self, mount: OwnedFd, root: &CStr, covers: &[Cover<'_>]) -> Result<OwnedFd> {
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
    /// What was attached goes again, whether it was all of it or not.
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

/// Opens a directory beneath another one, or that one itself for an empty name.
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

/// Puts the calling thread into a new mount namespace and empties it: a copy of the host's mounts would keep other
/// drivers' volumes busy for as long as the pinner lives.
///
/// # Errors
/// Whatever the kernel says; the thread is of no use then.
pub fn enter_private_namespace() -> Result<OwnedFd> {
    // SAFETY: this thread has just been made for the purpose; nothing in it relies on the directory shared so far.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.context("unshare", String::new)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("mount(private)", String::new)?;
    let root = mount::detached(c"tmpfs", &[(c"source", c"csi-bpffs-compose"), (c"mode", c"0700"), (c"size", c"16k")])?;
    for name in [TREE, &part_name(0), &part_name(1)] {
        ensure_entry(root.as_fd(), name)?;
    }
    // Any directory will do to reach the new root by; this one exists wherever Linux runs.
    mount::attach(root.as_fd(), CWD, c"/proc")?;
    rustix::process::fchdir(root.as_fd()).context("fchdir", String::new)?;
    rustix::process::pivot_root(c".", c".").context("pivot_root", String::new)?;
    unmount(c".", UnmountFlags::DETACH).context("umount2", || "the old root".to_owned())?;
    rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context("open", || "/".to_owned())
}
