//! Composes a detached tree: takes a directory of a detached mount as its root, and mounts single files over others in
//! it.
//!
//! Since Linux 6.15 the kernel allows this on detached mounts. Before, all mounts involved must be attached in the
//! caller's mount namespace: a thread with a private, empty one does the work there and returns the finished tree as a
//! descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use rustix::io::Errno;

use super::cover::{Cover, cover, make_file};
use super::leftovers::Leftovers;
use super::private_namespace::{Workshop, gone};
use crate::sys::path::ensure_entry;
use crate::sys::{Context, Result, mount};

/// Composes trees.
#[derive(Debug)]
pub struct Composer {
    /// The SELinux label of a bpffs; `None` without SELinux.
    pub label: Option<CString>,
    way: Way,
    leftovers: Leftovers,
}

/// How this kernel lets trees be composed.
#[derive(Debug)]
enum Way {
    /// On detached mounts.
    Direct,
    /// In a private mount namespace.
    Namespace(Mutex<Workshop>),
}

impl Composer {
    /// Chooses the way by trying.
    ///
    /// # Errors
    /// If neither way works.
    pub fn new() -> Result<Self> {
        if composes_detached().is_ok() { Self::by(Way::Direct) } else { Self::in_namespace() }
    }

    /// Always uses a private namespace, as older kernels need it. Its thread inherits the caller's capabilities.
    ///
    /// # Errors
    /// If the namespace cannot be created.
    pub fn in_namespace() -> Result<Self> {
        Self::by(Way::Namespace(Mutex::new(Workshop::open()?)))
    }

    fn by(way: Way) -> Result<Self> {
        Ok(Self { label: super::label()?, way, leftovers: Leftovers::open()? })
    }

    /// Closes a detached mount in the background.
    pub fn discard(&self, mount: OwnedFd) {
        self.leftovers.close(mount);
    }

    /// A tree of the directory `root` of a detached mount, or of the whole mount for an empty name, with the covers
    /// mounted over their files. The mounts that the covers come from are then of no further use and should be
    /// discarded.
    ///
    /// # Errors
    /// If a mount call fails; nothing is left then.
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

/// Tries to copy a directory of a detached mount, and to mount a file in the copy.
///
/// # Errors
/// `EINVAL` if this kernel does not allow it.
pub fn composes_detached() -> Result<()> {
    const TREE: &CStr = c"tree";
    const FILE: &CStr = c"file";
    let mount = mount::detached(c"tmpfs", &[(c"source", c"csi-bpffs-probe"), (c"mode", c"0700"), (c"size", c"4k")])?;
    ensure_entry(mount.as_fd(), TREE)?;
    let tree = mount::clone(mount.as_fd(), TREE)?;
    for directory in [mount.as_fd(), tree.as_fd()] {
        make_file(directory, FILE)?;
    }
    cover(tree.as_fd(), FILE, mount.as_fd())
}
