//! Building a volume, detached: until it is attached nobody sees it, and closing it frees it.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, Gid, Mode};

use super::carriers::CARRIES;
use super::mark::{Mark, Marks};
use super::{DEBUG_FILES, Modes};
use crate::sys::path::{ensure_entry, through_descriptor};
use crate::sys::{Context, Result, bpf, mount};
use crate::tree::compose::{Composer, Cover, make_file};
use crate::tree::source;

/// One file to be.
pub struct File<'a> {
    /// From the volume's directory; what lies before its last element is made.
    pub path: &'a CStr,
    pub map: BorrowedFd<'a>,
    pub writable: bool,
    /// Of the name that it comes from.
    pub from: Option<Mark>,
}

/// What to build.
pub struct Plan<'a> {
    pub volume_id: &'a str,
    /// Of what the pod asked for.
    pub request: Option<Mark>,
    pub files: &'a [File<'a>],
    pub gid: Option<u32>,
    pub user_namespace: bool,
    /// As [`super::carriers`] has it.
    pub carries: bool,
}

/// Builds the whole volume as one detached tree.
///
/// # Errors
/// Whatever the kernel says; nothing is left then.
pub fn build(plan: &Plan<'_>, composer: &Composer) -> Result<OwnedFd> {
    let modes = Modes::new(plan.gid, plan.user_namespace);
    // The pins of a pod with a user namespace are open to all who pass the directory.
    let pin_gid = if plan.user_namespace { None } else { plan.gid };
    let root = if plan.carries { modes.directory | Mode::from_raw_mode(CARRIES) } else { modes.directory };
    let writable = |file: &&File<'_>| file.writable;
    let source = source(plan.volume_id);

    let read_write = if plan.files.iter().any(|file| file.writable) {
        let pins = plan.files.iter().filter(writable);
        Some(pinned(&source, pins, modes.directory, modes.read_write, pin_gid)?)
    } else {
        None
    };
    let from =
        |file: &File<'_>, read_only| if file.writable { read_write.as_ref().map(AsFd::as_fd) } else { read_only };

    if plan.user_namespace {
        let pins = plan.files.iter().filter(|file| !file.writable);
        let pins = pinned(&source, pins, modes.directory, modes.read_only, pin_gid)?;
        mount::make_superblock_read_only(pins.as_fd())?;
        let covers: Vec<_> =
            plan.files.iter().map(|file| Cover { from: from(file, Some(pins.as_fd())), name: file.path }).collect();
        return composer.compose(carrier(plan, &source, root)?, &covers);
    }

    // A writable map is pinned here too: a bpffs has no other files that another one could be mounted over.
    let directory = pinned(&source, plan.files.iter(), modes.directory, modes.read_only, pin_gid)?;
    own(directory.as_fd(), c"", root, plan.gid)?;
    mark(plan, directory.as_fd())?;
    mount::make_superblock_read_only(directory.as_fd())?;
    let mut covers: Vec<_> =
        plan.files.iter().filter(writable).map(|file| Cover { from: from(file, None), name: file.path }).collect();
    covers.extend(listings(directory.as_fd()));
    composer.compose(directory, &covers)
}

/// Covers for the listings of the whole host that this kernel puts into a bpffs.
#[must_use]
pub fn listings(bpffs: BorrowedFd<'_>) -> Vec<Cover<'static>> {
    let is_there = |name: &CStr| rustix::fs::accessat(bpffs, name, Access::EXISTS, AtFlags::empty()).is_ok();
    DEBUG_FILES.into_iter().filter(|name| is_there(name)).map(|name| Cover { from: None, name }).collect()
}

/// A bpffs with these maps pinned.
fn pinned<'a>(
    source: &CStr,
    files: impl Iterator<Item = &'a File<'a>>,
    directory_mode: Mode,
    mode: Mode,
    gid: Option<u32>,
) -> Result<OwnedFd> {
    let mount = mount::detached(c"bpf", &[(c"source", source), (c"mode", c"0700")])?;
    let mut directories = HashSet::new();
    for file in files {
        for directory in parents(file.path) {
            if directories.insert(directory.clone()) {
                ensure_entry(mount.as_fd(), &directory)?;
                own(mount.as_fd(), &directory, directory_mode, gid)?;
            }
        }
        bpf::pin(file.map, &through_descriptor(mount.as_fd(), file.path))?;
        own(mount.as_fd(), file.path, mode, gid)?;
    }
    Ok(mount)
}

/// `a` and `a/b` for `a/b/map`.
fn parents(path: &CStr) -> impl Iterator<Item = CString> {
    let bytes = path.to_bytes();
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.filter_map(|(end, _)| CString::new(&bytes[..end]).ok())
}

/// A read-only tmpfs with an empty file for each map.
fn carrier(plan: &Plan<'_>, source: &CStr, mode: Mode) -> Result<OwnedFd> {
    let mount = mount::detached_unlocked(c"tmpfs", &[(c"source", source), (c"mode", c"0700"), (c"size", c"4k")])?;
    for file in plan.files {
        make_file(mount.as_fd(), file.path)?;
    }
    own(mount.as_fd(), c"", mode, plan.gid)?;
    mark(plan, mount.as_fd())?;
    mount::make_superblock_read_only(mount.as_fd())?;
    Ok(mount)
}

/// Last of all, because whatever is made in a directory changes its times.
fn mark(plan: &Plan<'_>, directory: BorrowedFd<'_>) -> Result<()> {
    let volume = Mark::of(plan.volume_id);
    let marks = |from: Option<Mark>| Marks { volume, origin: from.unwrap_or(Mark::NOTHING) };
    plan.files.iter().try_for_each(|file| marks(file.from).write(directory, file.path))?;
    marks(plan.request).write(directory, c".")
}

/// Mode first: once it belongs to another, `CAP_FOWNER` would be needed.
fn own(directory: BorrowedFd<'_>, name: &CStr, mode: Mode, gid: Option<u32>) -> Result<()> {
    let object = || name.to_string_lossy().into_owned();
    // fchmodat takes no AT_EMPTY_PATH before Linux 6.6.
    let name = if name.is_empty() { c"." } else { name };
    rustix::fs::chmodat(directory, name, mode, AtFlags::empty()).call("chmod", object)?;
    if let Some(gid) = gid {
        rustix::fs::chownat(directory, name, None, Some(Gid::from_raw(gid)), AtFlags::empty()).call("chown", object)?;
    }
    Ok(())
}
