//! What is at a target: the mount table asked about one place.

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

/// A volume is the pinner's own work, and all of it is looked at.
const VOLUME: Limits = Limits { depth: usize::MAX, entries: usize::MAX };
/// A workspace is as large as its owner likes; what lies beyond does not count.
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
    /// Something that this driver must not touch; in words, as "a symbolic link".
    Foreign(String),
}

/// A volume that is mounted.
#[derive(Debug)]
pub struct Mounted {
    /// Its root, as a place.
    pub root: OwnedFd,
    /// Whose it is; `None` where nothing says it.
    pub volume_id: Option<String>,
    /// What it is made of.
    pub layout: Layout,
    /// Whether it was made to carry descriptors: see [`super::carriers`].
    pub carries: bool,
    /// The permission bits of its directory.
    pub mode: u32,
    /// The group of its directory.
    pub gid: u32,
    /// What its directory is marked with; a workspace's may be anything.
    pub marks: Marks,
}

/// Looks at a target, in the expectation of a volume.
///
/// Of what is mounted there only the attributes are looked at, as the kernel remembers them, until it is known for a volume:
/// by [`identify`] or, where no whole mount table is to be read for it, by the mark of the expected one.
///
/// # Errors
/// Whatever the kernel says unexpectedly.
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

/// A mount that has a volume's mark; `None` where it is a workspace, whose owner may have made the mark.
fn by_mark(root: &OwnedFd, id: &str) -> Result<Option<Identity>> {
    // The mounts of volumes are never read-only by themselves, so what a file or directory shows is its superblock's.
    let FileSystem { kind, read_only } = mount::file_system(root.as_fd())?;
    let layout = match kind {
        Kind::Bpf if read_only => Layout::Pins,
        Kind::Tmpfs if read_only => Layout::Carrier,
        _ => return Ok(None),
    };
    Ok(Some(Identity { layout, id: Some(id.to_owned()) }))
}

/// The volume that a mount is by what the kernel says of it; else, in words, where it comes from.
fn by_kernel(root: &OwnedFd, is_closed: bool, store: &Store) -> Result<std::result::Result<Identity, String>> {
    let Some(mount) = Mounts::find(root.as_fd())?.1 else { return Ok(Err(String::new())) };
    let identity = identify(&mount, || store.workspaces())?;
    let identity = identity.filter(|volume| is_closed || volume.layout == Layout::Workspace);
    Ok(identity.ok_or_else(|| mount.source.map_or_else(String::new, |source| format!(" of {source:?}"))))
}

impl Mounted {
    /// Its id, for messages.
    #[must_use]
    pub fn shown_id(&self) -> &str {
        self.volume_id.as_deref().unwrap_or("whose id this kernel does not show")
    }

    /// Whether this is the volume of that id.
    #[must_use]
    pub fn is(&self, volume_id: &str) -> bool {
        self.volume_id.as_deref() == Some(volume_id)
    }

    /// Shows every map in it to `visit`, by its path; of a workspace, as many as are within some limits.
    ///
    /// # Errors
    /// Whatever the kernel says, and what `visit` says.
    pub fn walk(&self, visit: &mut dyn FnMut(CString, PinnedMap) -> error::Result<()>) -> error::Result<Option<Cut>> {
        let limits = if self.layout == Layout::Workspace { WORKSPACE } else { VOLUME };
        walk(self.root.as_fd(), limits, visit)
    }

    /// Opens every map of a volume that is no workspace, by its path.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn files(&self) -> error::Result<BTreeMap<CString, PinnedMap>> {
        let mut files = BTreeMap::new();
        self.walk(&mut |path, map| {
            files.insert(path, map);
            Ok(())
        })?;
        Ok(files)
    }
}
