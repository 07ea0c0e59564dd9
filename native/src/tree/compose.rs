//! Mounting single files over others in a tree that is mounted nowhere yet.
//!
//! Since Linux 6.15 the kernel does that as it is. Before, both ends must be attached in the caller's mount namespace: a
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

use crate::sys::{Context, Result, mount};

/// The name of the empty file on a composer's own tmpfs.
const EMPTY: &CStr = c"empty";
/// Where a tree under construction is attached in the private namespace.
const TREE: &CStr = c"tree";

/// A file that takes the place of its namesake in the tree.
#[derive(Clone, Copy, Debug)]
pub struct Cover<'a> {
    /// The detached mount that has it; `None`: an empty file.
    pub from: Option<BorrowedFd<'a>>,
    /// Its name, there and in the tree.
    pub name: &'a CStr,
}

/// How trees are put together on this kernel.
#[derive(Debug)]
pub enum Composer {
    /// On the detached tree itself. Holds a tmpfs with the empty file.
    Direct(OwnedFd),
    /// In a private mount namespace.
    Namespace(Mutex<Workshop>),
}

impl Composer {
    /// Chooses by trying.
    ///
    /// # Errors
    /// When neither way works.
    pub fn new() -> Result<Self> {
        if composes_detached().is_ok() { empty_file().map(Self::Direct) } else { Self::in_namespace() }
    }

    /// The way of older kernels, which newer ones know too. The thread behind it inherits the caller's capabilities.
    ///
    /// # Errors
    /// When the private namespace cannot be made.
    pub fn in_namespace() -> Result<Self> {
        Workshop::open().map(|workshop| Self::Namespace(Mutex::new(workshop)))
    }

    /// Puts the covers over their namesakes in `tree`, a detached mount, and gives the whole. The mounts that the covers
    /// come from are used up.
    ///
    /// # Errors
    /// Whatever the mount calls say; nothing of it is left then.
    pub fn compose(&self, tree: OwnedFd, covers: &[Cover<'_>]) -> Result<OwnedFd> {
        if covers.is_empty() {
            return Ok(tree);
        }
        match self {
            Self::Direct(empty) => {
                for Cover { from, name } in covers {
                    let (from, file) = from.map_or((empty.as_fd(), EMPTY), |from| (from, *name));
                    cover(tree.as_fd(), name, from, file)?;
                }
                Ok(tree)
            }
            Self::Namespace(workshop) => {
                let workshop = workshop.lock().map_err(|_| Errno::PIPE).call("compose", gone)?;
                workshop.compose(tree, covers)
            }
        }
    }
}

fn gone() -> String {
    "the thread with the private mount namespace is gone".to_owned()
}

/// Tries to mount a file onto a detached tree.
///
/// # Errors
/// `EINVAL` where this kernel does not do that.
pub fn composes_detached() -> Result<()> {
    let tree = empty_file()?;
    cover(tree.as_fd(), EMPTY, tree.as_fd(), EMPTY)
}

/// Mounts `file` of `from` over `name` in `tree`.
fn cover(tree: BorrowedFd<'_>, name: &CStr, from: BorrowedFd<'_>, file: &CStr) -> Result<()> {
    mount::attach(mount::clone(from, file)?.as_fd(), tree, name)
}

/// A detached, read-only tmpfs with the empty file.
fn empty_file() -> Result<OwnedFd> {
    let tree = mount::detached(c"tmpfs", &[(c"source", c"csi-bpffs-empty"), (c"mode", c"0555"), (c"size", c"4k")])?;
    make_file(tree.as_fd(), EMPTY)?;
    mount::make_superblock_read_only(tree.as_fd())?;
    Ok(tree)
}

/// Makes an empty file for others to be mounted over.
///
/// # Errors
/// Whatever `mknod(2)` says.
pub fn make_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    rustix::fs::mknodat(directory, name, FileType::RegularFile, Mode::from_raw_mode(0o444), 0)
        .call("mknod", || name.to_string_lossy().into_owned())
}

/// What the thread is asked for: the tree, the mounts that covers come from, and for each cover its index among them.
struct Job {
    tree: OwnedFd,
    parts: Vec<OwnedFd>,
    covers: Vec<(Option<usize>, CString)>,
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
                    if results.send(job.run()).is_err() {
                        return;
                    }
                }
            })
            .call("clone", || "thread".to_owned())?;
        let ready: Result<OwnedFd> = trees.recv().map_err(|_| Errno::PIPE).call("compose", gone)?;
        ready?;
        Ok(Self { jobs, trees })
    }

    fn compose(&self, tree: OwnedFd, covers: &[Cover<'_>]) -> Result<OwnedFd> {
        let mut mounts: Vec<BorrowedFd<'_>> = Vec::new();
        let covers = covers
            .iter()
            .map(|cover| {
                let part = cover.from.map(|from| {
                    let known = mounts.iter().position(|mount| mount.as_raw_fd() == from.as_raw_fd());
                    known.unwrap_or_else(|| {
                        mounts.push(from);
                        mounts.len() - 1
                    })
                });
                (part, cover.name.to_owned())
            })
            .collect();
        let parts =
            mounts.into_iter().map(|part| rustix::io::fcntl_dupfd_cloexec(part, 0)).collect::<rustix::io::Result<_>>();
        let job = Job { tree, parts: parts.call("dup", String::new)?, covers };
        self.jobs.send(job).map_err(|_| Errno::PIPE).call("compose", gone)?;
        self.trees.recv().map_err(|_| Errno::PIPE).call("compose", gone)?
    }
}

impl Job {
    fn run(self) -> Result<OwnedFd> {
        let result = self.compose();
        // What was attached goes again, whether it was all of it or not.
        let _ = unmount(TREE, UnmountFlags::DETACH);
        for part in 0..self.parts.len() {
            let _ = unmount(part_name(part).as_c_str(), UnmountFlags::DETACH);
        }
        result
    }

    fn compose(&self) -> Result<OwnedFd> {
        mount::attach(self.tree.as_fd(), CWD, TREE)?;
        for (index, part) in self.parts.iter().enumerate() {
            mount::attach(part.as_fd(), CWD, &part_name(index))?;
        }
        for (part, name) in &self.covers {
            let (from, file) = part.map_or((CWD, EMPTY), |index| (self.parts[index].as_fd(), name.as_c_str()));
            cover(self.tree.as_fd(), name, from, file)?;
        }
        mount::clone_tree(self.tree.as_fd(), c"")
    }
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
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.call("unshare", String::new)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .call("mount(private)", String::new)?;
    let root = mount::detached(c"tmpfs", &[(c"source", c"csi-bpffs-compose"), (c"mode", c"0700"), (c"size", c"16k")])?;
    for name in [TREE, &part_name(0), &part_name(1)] {
        rustix::fs::mkdirat(root.as_fd(), name, Mode::from_raw_mode(0o700))
            .call("mkdir", || name.to_string_lossy().into_owned())?;
    }
    make_file(root.as_fd(), EMPTY)?;
    // The empty file is shown in volumes, where a pod may be uid 0.
    mount::make_superblock_read_only(root.as_fd())?;
    // Any directory will do to reach the new root by; this one exists wherever Linux runs.
    mount::attach(root.as_fd(), CWD, c"/proc")?;
    rustix::process::fchdir(root.as_fd()).call("fchdir", String::new)?;
    rustix::process::pivot_root(c".", c".").call("pivot_root", String::new)?;
    unmount(c".", UnmountFlags::DETACH).call("umount2", || "the old root".to_owned())?;
    rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).call("open", || "/".to_owned())
}
