//! The volume of a delegation: a read-only tmpfs with the record of what is delegated, and two empty directories. On
//! `socket` a tmpfs with the socket is mounted, on `bpf` the pod's bpffs.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::identify::Layout;
use super::observe::{Found, Mounted, observe};
use crate::delegation::{BPF, SOCKET};
use crate::error::{Error, Result};
use crate::kubelet::{Kubelet, Target};
use crate::store::Store;
use crate::sys::{self, Context, mount};

impl Mounted {
    /// Whether the bpffs of a delegation is mounted.
    ///
    /// # Errors
    /// If `statx(2)` fails.
    pub fn is_delegated(&self) -> Result<bool> {
        is_mount(self, BPF)
    }

    /// Whether the socket of a delegation is mounted. Without one, the delegation is withdrawn.
    ///
    /// # Errors
    /// If `statx(2)` fails.
    pub(super) fn has_socket(&self) -> Result<bool> {
        is_mount(self, SOCKET)
    }
}

/// Whether something is mounted on a directory of a volume.
fn is_mount(mounted: &Mounted, name: &CStr) -> Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(&mounted.root, name, flags, StatxFlags::TYPE);
    let stat = stat.context("statx", || name.to_string_lossy().into_owned())?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The delegation that is published at `target`.
pub(super) fn find(kubelet: &Kubelet, store: &Store, target: &Target) -> Result<Mounted> {
    let place = kubelet.place(target)?.ok_or_else(|| absent(target))?;
    match observe(&place, None, store)? {
        Found::Volume(mounted) if mounted.layout == Layout::Delegation => Ok(mounted),
        _ => Err(absent(target)),
    }
}

pub(super) fn absent(target: &Target) -> Error {
    Error::NotFound(format!("no delegation is published at {}", target.path().display()))
}

/// Mounts a tree on a directory of a volume, in place of what is mounted there.
pub(super) fn put(tree: BorrowedFd<'_>, carrier: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
    clear(carrier, name)?;
    mount::attach(tree, carrier, name)
}

/// Unmounts what is mounted on a directory of a volume.
pub(super) fn clear(carrier: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
    loop {
        match mount::detach(carrier, name) {
            Ok(()) => {}
            Err(error) if error.errno == Errno::INVAL => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
