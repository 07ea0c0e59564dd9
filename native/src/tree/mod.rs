//! What volumes and workspaces are made of: mounts that are put together while nobody sees them, and bear a name.

pub mod compose;
mod leftovers;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::sys::path::ensure_entry;
use crate::sys::{Context, Result, mount, selinux};

/// The directory of a bpffs that is the root of a volume. Beside it, and so outside of the volume, lies what kernels with
/// `CONFIG_BPF_PRELOAD` put into every bpffs: a listing of all maps and one of all programs of the host.
pub const ROOT: &CStr = c"volume";

/// How a mount's source begins that belongs to a volume; the volume's id follows.
const SOURCE_PREFIX: &str = "csi-bpffs:";

/// The source of a volume's mounts, as findmnt shows it.
#[must_use]
pub fn source(volume_id: &str) -> CString {
    CString::new(format!("{SOURCE_PREFIX}{volume_id}")).unwrap_or_default()
}

/// The id of the volume that a mount's source says it belongs to.
#[must_use]
pub fn volume_id(source: &str) -> Option<&str> {
    source.strip_prefix(SOURCE_PREFIX)
}

/// A new bpffs, mounted nowhere, and in it the directory that is to be the root of a volume.
///
/// # Errors
/// Whatever the kernel says.
pub fn bpffs(source: &CStr) -> Result<(OwnedFd, OwnedFd)> {
    let bpffs = mount::detached(c"bpf", &[(c"source", source), (c"mode", c"0700")])?;
    ensure_entry(bpffs.as_fd(), ROOT)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(&bpffs, ROOT, flags, Mode::empty()).context("openat", String::new)?;
    Ok((bpffs, root))
}

/// What SELinux calls a bpffs, with all that is in it; `None` without SELinux.
///
/// # Errors
/// Whatever the kernel says.
pub fn label() -> Result<Option<CString>> {
    selinux::label(mount::detached(c"bpf", &[(c"mode", c"0700")])?.as_fd())
}
