//! What is at a target: the mount table asked about one place.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags};

use super::{DEBUG_FILES, SOURCE_PREFIX};
use crate::source::Map;
use crate::sys::mount::{self, BPF_MAGIC, TMPFS_MAGIC};
use crate::sys::path::{Place, entries, open_entry, through_descriptor};
use crate::sys::{Context, Result, bpf};

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
    /// Whose it is; `None` where the kernel cannot say it cheaply (before Linux 6.13).
    pub volume_id: Option<String>,
    /// Whether it is a tmpfs that carries the pins.
    pub user_namespace: bool,
    /// The permission bits of its directory.
    pub mode: u32,
    /// The group of its directory.
    pub gid: u32,
}

/// A file of a mounted volume.
#[derive(Debug)]
pub struct MountedFile {
    /// The map behind it.
    pub map: Map,
    /// Whether its superblock lets it be opened for writing.
    pub writable: bool,
}

/// Looks at a target.
///
/// A volume is told by what nothing else has: a bpffs or tmpfs mounted there whose superblock is read-only and whose
/// directory is root's and closed for writing; and, where the kernel says it cheaply, by the mount's source.
///
/// # Errors
/// Whatever the kernel says unexpectedly.
pub fn observe(place: &Place) -> Result<Found> {
    let Some(entry) = open_entry(place.parent.as_fd(), &place.name)? else { return Ok(Found::Nothing) };
    let object = || place.path.display().to_string();
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID;
    let stat = rustix::fs::statx(entry.as_fd(), c"", AtFlags::EMPTY_PATH, wanted).call("statx", object)?;
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
    let source = mount::status(entry.as_fd()).ok().and_then(|status| status.source);
    let foreign = || {
        let from = source.as_deref().map_or_else(String::new, |source| format!(" of {source:?}"));
        Ok(Found::Foreign(format!("a mount{from} that is no volume of this driver")))
    };
    let mode = u32::from(stat.stx_mode) & 0o777;
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
    let user_namespace = file_system.magic == TMPFS_MAGIC;
    Ok(Found::Volume(Mounted { root: entry, volume_id, user_namespace, mode, gid: stat.stx_gid }))
}

impl Mounted {
    /// Whether this is the volume of that id, as far as the kernel lets one see.
    #[must_use]
    pub fn is(&self, volume_id: &str) -> bool {
        self.volume_id.as_ref().is_none_or(|id| id == volume_id)
    }

    /// Opens every map of the volume.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn files(&self) -> Result<BTreeMap<CString, MountedFile>> {
        let mut files = BTreeMap::new();
        for name in entries(self.root.as_fd())? {
            if DEBUG_FILES.contains(&name.as_c_str()) {
                continue;
            }
            let path = through_descriptor(self.root.as_fd(), &name);
            let fd = bpf::open_pin(&path)?;
            let info = bpf::map_info(fd.as_fd())?;
            let writable = !mount::file_system_at(&path)?.read_only;
            files.insert(name, MountedFile { map: Map { fd, info }, writable });
        }
        Ok(files)
    }
}
