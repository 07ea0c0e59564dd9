//! Paths from requests, resolved beneath a root without symbolic links.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Context, Result};

/// `/proc/self/fd/N/name`: for calls that take a path, but shall act on an open directory.
#[must_use]
pub fn through_descriptor(directory: BorrowedFd<'_>, name: &CStr) -> CString {
    let mut path = format!("/proc/self/fd/{}", directory.as_raw_fd()).into_bytes();
    if !name.is_empty() {
        path.push(b'/');
        path.extend_from_slice(name.to_bytes());
    }
    CString::new(path).unwrap_or_default()
}

/// Whether `path` is absolute and in canonical form: no `.`, `..`, empty element, trailing slash or NUL.
#[must_use]
pub fn is_canonical(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        !path.contains('\0') && rest.split('/').all(|element| !element.is_empty() && element != "." && element != "..")
    })
}

/// `path` relative to `root`, if it lies beneath it.
#[must_use]
pub fn beneath<'a>(root: &Path, path: &'a Path) -> Option<&'a Path> {
    path.strip_prefix(root).ok().filter(|rest| {
        rest.components().next().is_some() && rest.components().all(|part| matches!(part, Component::Normal(_)))
    })
}

/// Opens `relative` beneath `root` with `O_PATH`. `root` comes from the configuration and may be a symbolic link;
/// beneath it none is followed.
///
/// # Errors
/// `ELOOP` for a symbolic link, `ENOENT`, `ENOTDIR`.
pub fn open_beneath(root: &Path, relative: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(root, flags, Mode::empty()).context("open", || root.display().to_string())?;
    if relative.as_os_str().is_empty() {
        return Ok(directory);
    }
    resolve(directory.as_fd(), relative, OFlags::PATH, ResolveFlags::empty())
        .context("openat2", || root.join(relative).display().to_string())
}

/// Opens `relative` in an open directory, without following symbolic links or crossing mounts.
///
/// # Errors
/// As [`open_beneath`]; `EXDEV` for a mount on the way.
pub fn open_within(directory: BorrowedFd<'_>, relative: &Path, flags: OFlags) -> Result<OwnedFd> {
    resolve(directory, relative, flags, ResolveFlags::NO_XDEV).context("openat2", || relative.display().to_string())
}

fn resolve(
    directory: BorrowedFd<'_>,
    relative: &Path,
    flags: OFlags,
    more: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | more;
    // openat2 returns EAGAIN when a rename or mount raced with RESOLVE_BENEATH; the manual says to retry.
    loop {
        // Not O_NOFOLLOW: with it and O_PATH, a symbolic link at the end would be opened itself, without ELOOP.
        match rustix::fs::openat2(directory, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
}

/// Opens `name` in `directory` with `O_PATH`, a symbolic link itself; `None` if it does not exist.
///
/// # Errors
/// If `openat(2)` fails, except with `ENOENT`.
pub fn open_entry(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>> {
    match rustix::fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.map(Some).context("openat", || name.to_string_lossy().into_owned()),
    }
}

/// As [`open_entry`], but only directories; `None` for anything else, including a symbolic link to a directory.
///
/// # Errors
/// If `openat(2)` fails, except with `ENOENT` and `ENOTDIR`.
pub fn open_subdirectory(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        opened => opened.map(Some).context("openat", || name.to_string_lossy().into_owned()),
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: CString,
    /// Its type, whatever is mounted on it.
    pub kind: FileType,
}

/// Lists at most `limit` entries of the directory `place` (`O_PATH`), without `.` and `..`.
///
/// # Errors
/// If it cannot be opened or read.
pub fn entries(place: BorrowedFd<'_>, limit: usize) -> Result<Vec<Entry>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(place, c".", flags, Mode::empty()).context("openat", || ".".to_owned())?;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::new(directory).context("fdopendir", String::new)? {
        let entry = entry.context("getdents", String::new)?;
        if entry.file_name() == c"." || entry.file_name() == c".." {
            continue;
        }
        if found.len() == limit {
            break;
        }
        found.push(Entry { name: entry.file_name().to_owned(), kind: entry.file_type() });
    }
    Ok(found)
}

/// Creates a directory with mode 0700 unless `name` exists.
///
/// # Errors
/// If `mkdir(2)` fails, except with `EEXIST`; `EPERM` on a bpffs for a name with a dot.
pub fn ensure_entry(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o700)) {
        Err(Errno::EXIST) => Ok(()),
        made => made.context("mkdir", || name.to_string_lossy().into_owned()),
    }
}

/// Creates the directory `path`, which comes from the configuration, and its parents, unless they exist.
///
/// # Errors
/// If `mkdir(2)` fails.
pub fn ensure_directory(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).context("mkdir", || path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_paths() {
        assert!(is_canonical("/var/lib/kubelet/pods/1/mount"));
        for path in ["", "/", "a", "/a/", "/a//b", "/a/./b", "/a/../b", "/..", "/a\0b"] {
            assert!(!is_canonical(path), "{path:?}");
        }
    }

    #[test]
    fn beneath_means_below_and_not_merely_alike() {
        let root = Path::new("/var/lib/kubelet");
        assert_eq!(beneath(root, Path::new("/var/lib/kubelet/pods/1")), Some(Path::new("pods/1")));
        assert_eq!(beneath(root, Path::new("/var/lib/kubelet")), None);
        assert_eq!(beneath(root, Path::new("/var/lib/kubelet2/pods")), None);
        assert_eq!(beneath(root, Path::new("/var/lib/kubelet/../x")), None);
    }

    proptest! {
        #[test]
        fn a_canonical_path_has_one_spelling(path in "[/.a\0]{0,12}|(/[a.]{1,3}){1,4}") {
            let rebuilt: PathBuf = Path::new(&path).components().collect();
            let plain = Path::new(&path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
            let canonical = plain && path.len() > 1 && path.starts_with('/') && !path.contains('\0')
                && rebuilt.to_str() == Some(&path[..]);
            prop_assert_eq!(is_canonical(&path), canonical, "{:?}", path);
        }

        #[test]
        fn what_is_beneath_comes_back_below(root in "/[a-c]{1,2}(/[a-c]{1,2}){0,2}", path in "/[a-c]{1,2}(/[a-c.]{1,2}){0,4}") {
            if let Some(rest) = beneath(Path::new(&root), Path::new(&path)) {
                prop_assert_eq!(Path::new(&root).join(rest), PathBuf::from(&path));
                prop_assert!(!rest.as_os_str().is_empty() && rest.is_relative() && !rest.to_str().unwrap_or("..").split('/').any(|e| e == ".."));
            } else {
                let relative = Path::new(&path).strip_prefix(&root);
                prop_assert!(relative.is_err() || path == root || path.split('/').any(|element| element == ".." || element == "."));
            }
        }
    }
}
