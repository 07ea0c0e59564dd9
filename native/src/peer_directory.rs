//! Creates directories that belong to the node plugin's user, so that the node plugin needs no root.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::sys::Context;

/// Creates the directory `path` and its parents, and makes `uid` its owner. Root must own every parent and nobody else
/// may be able to replace what is in it; symbolic links are refused.
///
/// # Errors
/// A text that names the unsuitable directory.
pub fn give(path: &Path, uid: u32) -> Result<(), String> {
    let (mut directory, mut shown) =
        (open(CWD, c"/").context("open", || "/".to_owned()).map_err(text)?, PathBuf::from("/"));
    for element in path.components().filter(|component| matches!(component, Component::Normal(_))) {
        if !is_roots_alone(directory.as_fd()).map_err(text)? {
            return Err(format!("{} must belong to root and be closed for writing to others", shown.display()));
        }
        let name = CString::new(element.as_os_str().as_bytes()).unwrap_or_default();
        shown.push(element);
        match rustix::fs::mkdirat(&directory, &name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).context("mkdir", || shown.display().to_string()).map_err(text),
        }
        directory = match open(directory.as_fd(), &name) {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(format!(
                    "{} is a symbolic link or no directory; remove it or choose another",
                    shown.display()
                ));
            }
            opened => opened.context("open", || shown.display().to_string()).map_err(text)?,
        };
    }
    let owner = owner_and_mode(directory.as_fd()).map_err(text)?.0;
    if owner != 0 && owner != uid {
        return Err(format!("{} belongs to uid {owner}, and so it is not given to {uid}", shown.display()));
    }
    rustix::fs::chownat(&directory, c"", Some(Uid::from_raw(uid)), None, AtFlags::EMPTY_PATH)
        .context("chown", || shown.display().to_string())
        .map_err(text)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: crate::sys::Error) -> String {
    error.to_string()
}

fn open(directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

fn owner_and_mode(directory: BorrowedFd<'_>) -> crate::sys::Result<(u32, u32)> {
    let stat = rustix::fs::fstat(directory).context("fstat", String::new)?;
    Ok((stat.st_uid, stat.st_mode))
}

/// In a sticky directory others can create entries, but not remove root's.
fn is_roots_alone(directory: BorrowedFd<'_>) -> crate::sys::Result<bool> {
    const WRITABLE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let (owner, mode) = owner_and_mode(directory)?;
    Ok(owner == 0 && (mode & WRITABLE == 0 || mode & STICKY != 0))
}
