//! Looks at what is mounted at a target.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags};

use super::identify::{Identity, Layout, identify};
use super::mark::{CARRIES, Mark, Marks};
use super::walk::{Cut, Limits, PinnedMap, walk};
use crate::error;
use crate::kubelet::{MOUNT, Place};
use crate::store::Store;
use crate::sys::mount::{self, FileSystem};
use crate::sys::mountinfo::Kind;
use crate::sys::mounts::Mounts;
use crate::sys::path::open_entry;
use crate::sys::{Context, Result};

/// The pinner built it, so all of it is read.
const VOLUME: Limits = Limits { depth: usize::MAX, entries: usize::MAX };
/// A workspace or delegation may be of any size; maps beyond these limits do not count.
const WORKSPACE: Limits = Limits { depth: 32, entries: 16_384 };

/// What was found at a target.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A directory with nothing mounted on it.
    Directory(OwnedFd),
    /// A volume of this driver.
    Volume(Mounted),
    /// Something that this driver must not touch, in words: "a symbolic link".
    Foreign(String),
}

/// A mounted volume.
#[derive(Debug)]
pub struct Mounted {
    /// Its root, opened with `O_PATH`.
    pub root: OwnedFd,
    /// Its id; `None` if the kernel does not show it.
    pub volume_id: Option<String>,
    /// What it consists of.
    pub layout: Layout,
    /// Whether it may carry descriptors: see `volume::carriers`.
    pub carries: bool,
    /// The permission bits of its directory.
    pub mode: u32,
    /// The group of its directory.
    pub gid: u32,
    /// The marks of its directory; those of a workspace may be anything.
    pub marks: Marks,
}

/// Looks at a target, where the volume `expected` may be.
///
/// Reads only cached attributes of what is mounted there until it is known to be a volume, either by `identify` or,
/// to save reading the mount table, by the mark of the expected volume.
///
/// # Errors
/// An unexpected kernel error.
pub fn observe(place: &Place, expected: Option<&str>, store: &Store) -> Result<Found> {
    let Some(entry) = open_entry(place.parent.as_fd(), MOUNT)? else { return Ok(Found::Nothing) };
    let object = || place.path.display().to_string();
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID | Marks::WANTED;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(entry.as_fd(), c"", flags, wanted).context("statx", object)?;
    let is_mount = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    match (FileType::from_raw_mode(stat.stx_mode.into()), is_mount) {
        (FileType::Directory, false) => return Ok(Found::Directory(entry)),
        (FileType::Directory, true) => {}
        (FileType::Symlink, _) => return Ok(Found::Foreign("a symbolic link".to_owned())),
        (_, true) => return Ok(Found::Foreign("a mount on a file".to_owned())),
        (_, false) => return Ok(Found::Foreign("a file".to_owned())),
    }
    let mode = u32::from(stat.stx_mode);
    let (marks, gid) = (Marks::from(&stat), stat.stx_gid);
    let is_closed = stat.stx_uid == 0 && matches!(mode & 0o777, 0o550 | 0o555);
    let expected = expected.filter(|id| is_closed && marks.volume == Mark::of(id));
    let identity = match expected.map_or(Ok(None), |id| by_mark(&entry, id))? {
        Some(volume) => Ok(volume),
        None => by_kernel(&entry, is_closed, store)?,
    };
    Ok(match identity {
        Ok(Identity { layout, id: volume_id }) => {
            let (carries, mode) = (mode & CARRIES != 0, mode & 0o777);
            Found::Volume(Mounted { root: entry, volume_id, layout, carries, mode, gid, marks })
        }
        Err(source) => Found::Foreign(format!("a mount{source} that is no volume of this driver")),
    })
}

/// Identifies a mount with a volume's mark; `None` if it is a workspace, whose mark a pod may have written.
fn by_mark(root: &OwnedFd, id: &str) -> Result<Option<Identity>> {
    // A volume's mount is never read-only itself, so the flag is its superblock's.
    let FileSystem { kind, read_only } = mount::file_system(root.as_fd())?;
    let layout = match kind {
        Kind::Bpf if read_only => Layout::Pins,
        Kind::Tmpfs if read_only => Layout::Tmpfs,
        _ => return Ok(None),
    };
    Ok(Some(Identity { layout, id: Some(id.to_owned()) }))
}

/// Identifies a mount by what the kernel says of it; else its source, in words.
fn by_kernel(root: &OwnedFd, is_closed: bool, store: &Store) -> Result<std::result::Result<Identity, String>> {
    let Some(mount) = Mounts::find(root.as_fd())?.1 else { return Ok(Err(String::new())) };
    let identity = identify(&mount, || store.workspaces())?;
    let identity = identity.filter(|volume| is_closed || volume.layout == Layout::Workspace);
    Ok(identity.ok_or_else(|| mount.source.map_or_else(String::new, |source| format!(" of {source:?}"))))
}

impl Mounted {
    /// The id, for messages.
    #[must_use]
    pub fn shown_id(&self) -> &str {
        self.volume_id.as_deref().unwrap_or("whose id this kernel does not show")
    }

    /// Whether this is the volume with this id.
    #[must_use]
    pub fn is(&self, volume_id: &str) -> bool {
        self.volume_id.as_deref() == Some(volume_id)
    }

    /// Calls `visit` for every map with its path; in a workspace or delegation, within limits.
    ///
    /// # Errors
    /// Any kernel error, and those of `visit`.
    pub fn walk(&self, visit: &mut dyn FnMut(CString, PinnedMap) -> error::Result<()>) -> error::Result<Option<Cut>> {
        let limits = if self.layout.is_the_pods() { WORKSPACE } else { VOLUME };
        walk(self.root.as_fd(), limits, visit)
    }

    /// Opens every map of a volume whose content is not the pod's, by its path.
    ///
    /// # Errors
    /// Any kernel error.
    pub fn files(&self) -> error::Result<BTreeMap<CString, PinnedMap>> {
        let mut files = BTreeMap::new();
        self.walk(&mut |path, map| {
            files.insert(path, map);
            Ok(())
        })?;
        Ok(files)
    }
}
