//! The mounts that volumes and workspaces consist of: composed while detached, and named by their source.

pub mod compose;
pub mod cover;
mod leftovers;
pub mod private_namespace;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::sys::path::ensure_entry;
use crate::sys::{Context, Result, mount, selinux};

/// The directory of a bpffs that is a volume's root. Kernels with `CONFIG_BPF_PRELOAD` put listings of all the host's
/// maps and programs into the root of every bpffs; so they stay outside the volume.
pub const ROOT: &CStr = c"volume";

/// The prefix of a volume's mount source; the volume id follows.
const SOURCE_PREFIX: &str = "csi-bpffs:";

/// The source of a volume's mounts, as findmnt shows it.
#[must_use]
pub fn source(volume_id: &str) -> CString {
    CString::new(format!("{SOURCE_PREFIX}{volume_id}")).unwrap_or_default()
}

/// The prefix of the source of a delegation's mounts; the volume id follows.
const DELEGATION_PREFIX: &str = "csi-bpffs-delegation:";

/// The source of a delegation's mounts, as findmnt shows it.
#[must_use]
pub fn delegation_source(volume_id: &str) -> CString {
    CString::new(format!("{DELEGATION_PREFIX}{volume_id}")).unwrap_or_default()
}

/// The volume id in the source of a delegation's mount; `None` if it is none.
#[must_use]
pub fn delegation_id(source: &str) -> Option<&str> {
    source.strip_prefix(DELEGATION_PREFIX)
}

/// The volume id in a mount's source; `None` if the mount is not a volume's.
#[must_use]
pub fn volume_id(source: &str) -> Option<&str> {
    source.strip_prefix(SOURCE_PREFIX)
}

/// A new detached bpffs, and the directory in it that becomes a volume's root.
///
/// # Errors
/// Any kernel error.
pub fn bpffs(source: &CStr) -> Result<(OwnedFd, OwnedFd)> {
    let bpffs = mount::detached(c"bpf", &[(c"source", source), (c"mode", c"0700")])?;
    ensure_entry(bpffs.as_fd(), ROOT)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(&bpffs, ROOT, flags, Mode::empty()).context("openat", String::new)?;
    Ok((bpffs, root))
}

/// The SELinux label of a bpffs and everything in it; `None` without SELinux.
///
/// # Errors
/// Any kernel error.
pub fn label() -> Result<Option<CString>> {
    selinux::label(mount::detached(c"bpf", &[(c"mode", c"0700")])?.as_fd())
}
