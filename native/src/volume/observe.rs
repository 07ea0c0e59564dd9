//! What is at a target: the mount table asked about one place.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags};

use super::SOURCE_PREFIX;
use super::mark::Marks;
use super::walk::{Cut, Limits, PinnedMap, walk};
use super::whose::workspace_id;
use crate::error;
use crate::kubelet::{MOUNT, Place};
use crate::store::Store;
use crate::sys::mount::{self, BPF_MAGIC, TMPFS_MAGIC};
use crate::sys::path::open_entry;
use crate::sys::{Context, Result, statmount};

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

/// What a volume is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A bpffs with the pins.
    Pins,
    /// A tmpfs that carries the pins, for a pod with a user namespace.
    Carrier,
    /// A bpffs that the pod may write to.
    Workspace,
}

/// A volume that is mounted.
#[derive(Debug)]
pub struct Mounted {
    /// Its root, as a place.
    pub root: OwnedFd,
    /// Whose it is; `None` where the kernel cannot say it cheaply (before Linux 6.13, and never for a workspace).
    pub volume_id: Option<String>,
    /// What it is made of.
    pub layout: Layout,
    /// The permission bits of its directory.
    pub mode: u32,
    /// The group of its directory.
    pub gid: u32,
    /// What its directory is marked with; a workspace's may be anything.
    pub marks: Marks,
}

/// Looks at a target.
///
/// A volume is told by what nothing else has: a bpffs or tmpfs mounted there whose superblock is read-only and whose
/// directory is root's and closed for writing; and, where the kernel says it cheaply, by the mount's source. A workspace,
/// with which its pod may do as it likes, is told by [`workspace_id`].
///
/// # Errors
/// Whatever the kernel says unexpectedly.
pub fn observe(place: &Place, store: &Store) -> Result<Found> {
    let Some(entry) = open_entry(place.parent.as_fd(), MOUNT)? else { return Ok(Found::Nothing) };
    let object = || place.path.display().to_string();
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID | Marks::WANTED;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(entry.as_fd(), c"", flags, wanted).call("statx", object)?;
    let is_mount = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    match (FileType::from_raw_mode(stat.stx_mode.into()), is_mount) {
        (FileType::Directory, false) => return Ok(Found::Directory(entry)),
        (FileType::Directory, true) => {}
        (FileType::Symlink, _) => return Ok(Found::Foreign("a symbolic link".to_owned())),
        (_, true) => return Ok(Found::Foreign("a mount on a file".to_owned())),
        (_, false) => return Ok(Found::Foreign("a file".to_owned())),
    }

    // The mounts of volumes are never read-only by themselves, so what a file or directory shows is its superblock's.
    let file_system = mount::file_system(entry.as_fd())?;
    let source = statmount::status(entry.as_fd()).ok().and_then(|status| status.source);
    let foreign = || {
        let from = source.as_deref().map_or_else(String::new, |source| format!(" of {source:?}"));
        Ok(Found::Foreign(format!("a mount{from} that is no volume of this driver")))
    };
    let (mode, gid, marks) = (u32::from(stat.stx_mode) & 0o777, stat.stx_gid, Marks::from(&stat));
    if file_system.magic == BPF_MAGIC && !file_system.read_only {
        let device = (stat.stx_dev_major, stat.stx_dev_minor);
        return match workspace_id(entry.as_fd(), device, store)? {
            None => foreign(),
            volume_id => {
                let layout = Layout::Workspace;
                Ok(Found::Volume(Mounted { root: entry, volume_id, layout, mode, gid, marks }))
            }
        };
    }
    let has_shape = matches!(file_system.magic, BPF_MAGIC | TMPFS_MAGIC)
        && file_system.read_only
        && stat.stx_uid == 0
        && matches!(mode, 0o550 | 0o555);
    if !has_shape {
        return foreign();
    }
    let volume_id = match source.as_deref().map(|source| source.strip_prefix(SOURCE_PREFIX)) {
        Some(None) => return foreign(),
        Some(Some(id)) => Some(id.to_owned()),
        None => None,
    };
    let layout = if file_system.magic == TMPFS_MAGIC { Layout::Carrier } else { Layout::Pins };
    Ok(Found::Volume(Mounted { root: entry, volume_id, layout, mode, gid, marks }))
}

impl Mounted {
    /// Whether this is the volume of that id, as far as the kernel lets one see.
    #[must_use]
    pub fn is(&self, volume_id: &str) -> bool {
        self.volume_id.as_ref().is_none_or(|id| id == volume_id)
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
