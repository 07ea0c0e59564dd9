//! Covers: single files mounted over files of a tree.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode};

use crate::sys::{Context, Result, mount};

/// A file to be mounted over the file of the same name in the tree.
#[derive(Clone, Copy, Debug)]
pub struct Cover<'a> {
    /// The detached mount that has the file.
    pub from: BorrowedFd<'a>,
    /// The file's path, in `from` and in the tree.
    pub name: &'a CStr,
}

/// Mounts the file `name` of `from` over the one of that name in `tree`.
pub(super) fn cover(tree: BorrowedFd<'_>, name: &CStr, from: BorrowedFd<'_>) -> Result<()> {
    mount::attach(mount::clone(from, name)?.as_fd(), tree, name)
}

/// Creates an empty file, to be mounted over.
///
/// # Errors
/// If `mknod(2)` fails.
pub fn make_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    rustix::fs::mknodat(directory, name, FileType::RegularFile, Mode::from_raw_mode(0o444), 0)
        .context("mknod", || name.to_string_lossy().into_owned())
}
