//! Keeps the store alive while the pinner runs, whatever happens to its mount.
//!
//! The pinner holds a detached copy of the store's mount and of each workspace's. If the store is unmounted, the copies
//! are mounted in its place, with the same maps and workspaces. The store's copy also shows it bare, without the
//! workspaces mounted in it: the directory below a workspace holds its owner, where no pod can change it.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Gid, Mode, StatxFlags};
use rustix::io::Errno;

use super::{Kept, Store, VOLUMES, file_name};
use crate::error::Result;
use crate::sys::mountinfo::Device;
use crate::sys::path::{ensure_directory, open_beneath, open_subdirectory};
use crate::sys::{self, Context, mount};

/// Detached copies of the store's mounts.
#[derive(Debug)]
pub struct Spares {
    device: Device,
    mounts: Mutex<Mounts>,
}

#[derive(Debug)]
struct Mounts {
    store: OwnedFd,
    workspaces: HashMap<String, OwnedFd>,
}

/// Who owns a workspace's directory: a group, or everyone (`None`).
pub type Owner = Option<u32>;

impl Spares {
    /// A copy of the store with this root, without workspaces.
    pub(super) fn of(root: BorrowedFd<'_>) -> sys::Result<Self> {
        let store = mount::private_root(root)?;
        Ok(Self { device: device(root)?, mounts: Mutex::new(Mounts { store, workspaces: HashMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Mounts> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The store's root. Mounts the store again if it was unmounted or covered.
    ///
    /// # Errors
    /// If a mount call fails.
    pub(super) fn root(&self) -> sys::Result<OwnedFd> {
        match self.root_at_path() {
            Some(root) => Ok(root),
            None => self.mend(),
        }
    }

    fn root_at_path(&self) -> Option<OwnedFd> {
        let root = open_beneath(&self.directory, "".as_ref()).ok()?;
        (device(root.as_fd()).ok()? == self.spares.device).then_some(root)
    }

    fn mend(&self) -> sys::Result<OwnedFd> {
        let mut spares = self.spares.lock();
        if let Some(root) = self.root_at_path() {
            return Ok(root);
        }
        ensure_directory(&self.directory)?;
        let place = open_beneath(&self.directory, "".as_ref())?;
        mount::attach(spares.store.as_fd(), place.as_fd(), c"")?;
        let spare = mount::private_root(spares.store.as_fd())?;
        let root = std::mem::replace(&mut spares.store, spare);
        let volumes =
            open_subdirectory(root.as_fd(), VOLUMES)?.ok_or(Errno::NOENT).context("open", || "volumes".to_owned())?;
        for (id, workspace) in &mut spares.workspaces {
            let Some(directory) = open_subdirectory(volumes.as_fd(), &file_name(id))? else { continue };
            mount::attach(workspace.as_fd(), directory.as_fd(), c"")?;
            *workspace = mount::private_copy(workspace.as_fd())?;
        }
        tracing::warn!(path = %self.directory.display(), workspaces = spares.workspaces.len(), "the store was unmounted, and is mounted again");
        Ok(root)
    }

    /// Holds a copy of a mounted workspace.
    pub(super) fn hold(&self, volume_id: &str, root: BorrowedFd<'_>) -> sys::Result<()> {
        let spare = mount::private_copy(root)?;
        self.spares.lock().workspaces.insert(volume_id.to_owned(), spare);
        Ok(())
    }

    /// Drops the copy of a workspace.
    pub(super) fn let_go(&self, volume_id: &str) {
        self.spares.lock().workspaces.remove(volume_id);
    }

    /// The last owner of a workspace; `None` if it never had one.
    ///
    /// # Errors
    /// Any kernel error.
    pub fn owner(&self, volume_id: &str) -> Result<Option<Owner>> {
        let bare = owner(self.bare(volume_id)?.as_fd())?;
        match (bare, self.kept(volume_id)?) {
            // An older pinner set it on the workspace itself only.
            (None, Kept::Workspace(root)) => Ok(owner(root.as_fd())?),
            (bare, _) => Ok(bare),
        }
    }

    /// Records the owner of a workspace.
    ///
    /// # Errors
    /// Any kernel error.
    pub fn set_owner(&self, volume_id: &str, owner: Owner) -> Result<()> {
        let (directory, object) = (self.bare(volume_id)?, || volume_id.to_owned());
        let (mode, group) = (if owner.is_some() { 0o770 } else { 0o707 }, Gid::from_raw(owner.unwrap_or(0)));
        rustix::fs::chmodat(&directory, c".", Mode::from_raw_mode(mode), AtFlags::empty()).context("chmod", object)?;
        Ok(rustix::fs::chownat(&directory, c".", None, Some(group), AtFlags::empty()).context("chown", object)?)
    }

    /// The directory that a workspace is mounted on.
    fn bare(&self, volume_id: &str) -> sys::Result<OwnedFd> {
        let spares = self.spares.lock();
        let volumes = open_subdirectory(spares.store.as_fd(), VOLUMES)?;
        let directory = volumes.map(|volumes| open_subdirectory(volumes.as_fd(), &file_name(volume_id))).transpose()?;
        directory.flatten().ok_or(Errno::NOENT).context("open", || volume_id.to_owned())
    }
}

fn owner(directory: BorrowedFd<'_>) -> sys::Result<Option<Owner>> {
    let stat = rustix::fs::fstat(directory).context("fstat", String::new)?;
    Ok(match stat.st_mode & 0o077 {
        0o070 => Some(Some(stat.st_gid)),
        0o007 | 0o077 => Some(None),
        _ => None,
    })
}

fn device(place: BorrowedFd<'_>) -> sys::Result<Device> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(place, c"", flags, StatxFlags::empty()).context("statx", String::new)?;
    Ok((stat.stx_dev_major, stat.stx_dev_minor))
}
