//! Pins objects, and opens pins.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::call::{Attributes, BPF_F_RDONLY, OBJ_GET, OBJ_PIN, Pointer, bpf, bpf_fd};
use crate::sys::{Context, Result};

#[repr(C)]
struct ObjectAttributes<'a> {
    path: Pointer<'a>,
    fd: u32,
    file_flags: u32,
}

// SAFETY: the fields of these commands; the path is a C string and only read.
unsafe impl Attributes for ObjectAttributes<'_> {
    const COMMANDS: &'static [u32] = &[OBJ_PIN, OBJ_GET];
}

/// Pins an object at `path`, which must be on a bpffs.
///
/// # Errors
/// `EEXIST`, `EROFS`, `EPERM` for a name with a dot, `EINVAL` if `path` is on another filesystem.
pub fn pin(object: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let mut attributes =
        ObjectAttributes { path: Pointer::to_read(path), fd: object.as_raw_fd().cast_unsigned(), file_flags: 0 };
    bpf(OBJ_PIN, &mut attributes).map(|_| ()).context("bpf(OBJ_PIN)", || path.to_string_lossy().into_owned())
}

/// Opens the object pinned at `path` for reading. The kernel still lets a map opened so be pinned elsewhere, writable.
///
/// # Errors
/// `ENOENT`, `EACCES` by file mode, `EINVAL` if it is not a pin or the pin of a BPF link.
pub fn open_pin(path: &CStr) -> Result<OwnedFd> {
    let mut attributes = ObjectAttributes { path: Pointer::to_read(path), fd: 0, file_flags: BPF_F_RDONLY };
    bpf_fd(OBJ_GET, &mut attributes).context("bpf(OBJ_GET)", || path.to_string_lossy().into_owned())
}

/// Opens the object pinned at `path` for reading and writing.
///
/// # Errors
/// As [`open_pin`], and `EROFS` on a read-only superblock.
pub fn open_pin_writable(path: &CStr) -> Result<OwnedFd> {
    let mut attributes = ObjectAttributes { path: Pointer::to_read(path), fd: 0, file_flags: 0 };
    bpf_fd(OBJ_GET, &mut attributes).context("bpf(OBJ_GET, rw)", || path.to_string_lossy().into_owned())
}
