//! Builds a volume, detached: nobody sees it before it is attached, and closing it frees it.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode};

use super::Modes;
use super::mark::{CARRIES, Mark, Marks};
use crate::sys::path::{ensure_entry, through_descriptor};
use crate::sys::{Context, Error, Result, bpf, mount};
use crate::tree;
use crate::tree::compose::Composer;
use crate::tree::cover::{Cover, make_file};

/// A file of a volume.
pub struct File<'a> {
    /// Relative to the volume's directory; parent directories are created.
    pub path: &'a CStr,
    pub map: BorrowedFd<'a>,
    pub writable: bool,
    /// The mark of its origin.
    pub from: Option<Mark>,
}

/// A volume to build.
pub struct Plan<'a> {
    pub volume_id: &'a str,
    /// The mark of what the pod asked for.
    pub request: Option<Mark>,
    pub files: &'a [File<'a>],
    pub gid: Option<u32>,
    pub user_namespace: bool,
    /// Whether it may carry descriptors: see [`super::carriers`].
    pub carries: bool,
}

/// Builds the whole volume as one detached tree.
///
/// # Errors
/// Any kernel error; nothing is left then.
pub fn build(plan: &Plan<'_>, composer: &Composer) -> Result<OwnedFd> {
    let modes = Modes::new(plan.gid, plan.user_namespace);
    // With a user namespace, the directory's group keeps others out, and everyone who can enter it may use the pins.
    let pin_gid = if plan.user_namespace { None } else { plan.gid };
    let directory_mode = if plan.carries { modes.directory | Mode::from_raw_mode(CARRIES) } else { modes.directory };
    let source = tree::source(plan.volume_id);

    // A bpffs with the pins of one access mode, from which single files are mounted.
    let part = |writable| -> Result<Option<OwnedFd>> {
        let mut files = plan.files.iter().filter(|file| file.writable == writable).peekable();
        if files.peek().is_none() {
            return Ok(None);
        }
        let bpffs = mount::detached(c"bpf", &[(c"source", &source), (c"mode", c"0700")])?;
        let mode = if writable { modes.read_write } else { modes.read_only };
        pin_all(bpffs.as_fd(), files, modes.directory, mode, pin_gid)?;
        Ok(Some(bpffs))
    };
    let read_write = part(true)?;
    let read_only = if plan.user_namespace { part(false)? } else { None };
    if let Some(pins) = &read_only {
        mount::make_superblock_read_only(pins.as_fd())?;
    }
    let mut covers = Vec::new();
    for file in plan.files {
        if let Some(part) = if file.writable { &read_write } else { &read_only } {
            covers.push(Cover { from: part.as_fd(), name: file.path });
        }
    }
    let tree = if plan.user_namespace {
        let label = composer.label.as_deref();
        composer.compose(tmpfs(plan, &source, directory_mode, label)?, c"", &covers)?
    } else {
        // Writable maps are pinned here too: only a pin can be the mount point in a bpffs.
        let (bpffs, root) = tree::bpffs(&source)?;
        pin_all(root.as_fd(), plan.files.iter(), modes.directory, modes.read_only, pin_gid)?;
        own(root.as_fd(), c"", directory_mode, plan.gid)?;
        mark(plan, root.as_fd())?;
        mount::make_superblock_read_only(bpffs.as_fd())?;
        composer.compose(bpffs, tree::ROOT, &covers)?
    };
    drop(covers);
    read_write.into_iter().chain(read_only).for_each(|part| composer.discard(part));
    Ok(tree)
}

/// Pins `files` in a directory.
fn pin_all<'a>(
    directory: BorrowedFd<'_>,
    files: impl Iterator<Item = &'a File<'a>>,
    directory_mode: Mode,
    mode: Mode,
    gid: Option<u32>,
) -> Result<()> {
    let mut parents_made = HashSet::new();
    for file in files {
        for parent in parents(file.path) {
            if parents_made.insert(parent.clone()) {
                ensure_entry(directory, &parent)?;
                own(directory, &parent, directory_mode, gid)?;
            }
        }
        bpf::pin(file.map, &through_descriptor(directory, file.path))?;
        own(directory, file.path, mode, gid)?;
    }
    Ok(())
}

/// `a` and `a/b` for `a/b/map`.
fn parents(path: &CStr) -> impl Iterator<Item = CString> {
    let bytes = path.to_bytes();
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.filter_map(|(end, _)| CString::new(&bytes[..end]).ok())
}

/// A read-only tmpfs with an empty file for each map.
///
/// With SELinux, the mount option `context` gives all of it the label of a bpffs. So a pod needs no further permission,
/// and the container runtime does not relabel its files, as it does in any other tmpfs.
fn tmpfs(plan: &Plan<'_>, source: &CStr, mode: Mode, label: Option<&CStr>) -> Result<OwnedFd> {
    let mut options = vec![(c"source", source), (c"mode", c"0700"), (c"size", c"4k")];
    options.extend(label.map(|label| (c"context", label)));
    let mount = mount::detached_unlocked(c"tmpfs", &options).map_err(|error| match label {
        Some(label) => {
            Error { object: format!("a tmpfs with the label of a bpffs, {}", label.to_string_lossy()), ..error }
        }
        None => error,
    })?;
    for file in plan.files {
        make_file(mount.as_fd(), file.path)?;
    }
    own(mount.as_fd(), c"", mode, plan.gid)?;
    mark(plan, mount.as_fd())?;
    mount::make_superblock_read_only(mount.as_fd())?;
    Ok(mount)
}

/// Writes the marks. Must come last, because creating a file changes its directory's times.
fn mark(plan: &Plan<'_>, directory: BorrowedFd<'_>) -> Result<()> {
    let volume = Mark::of(plan.volume_id);
    let marks = |from: Option<Mark>| Marks { volume, origin: from.unwrap_or(Mark::NOTHING) };
    plan.files.iter().try_for_each(|file| marks(file.from).write(directory, file.path))?;
    marks(plan.request).write(directory, c".")
}

/// Mode first: changing it after the owner would take `CAP_FOWNER`.
fn own(directory: BorrowedFd<'_>, name: &CStr, mode: Mode, gid: Option<u32>) -> Result<()> {
    let object = || name.to_string_lossy().into_owned();
    // fchmodat takes no AT_EMPTY_PATH before Linux 6.6.
    let name = if name.is_empty() { c"." } else { name };
    rustix::fs::chmodat(directory, name, mode, AtFlags::empty()).context("chmod", object)?;
    if let Some(gid) = gid {
        rustix::fs::chownat(directory, name, None, Some(Gid::from_raw(gid)), AtFlags::empty())
            .context("chown", object)?;
    }
    Ok(())
}
