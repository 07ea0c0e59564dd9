//! The store: the pinner's own bpffs, for what must outlive published volumes and the pinner itself.
//!
//! ```text
//! <store>/created/<name>              maps that belong to the node
//! <store>/volumes/<volume id>/<name>  maps that belong to a persistent volume
//! <store>/volumes/<volume id>/        a workspace: a bpffs of its own, mounted here to keep it alive
//! ```
//! There is no other record. A directory is created together with the first thing in it; one that a killed pinner left
//! empty is used, or released, like any other.

mod budget;
mod maps;
mod release;
mod spare;
mod workspaces;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags};

pub use budget::{Limits, Usage};

use self::budget::Budget;
use self::spare::Spares;
use crate::error::{Error, Result};
use crate::sys::mount;
use crate::sys::mountinfo::Kind;
use crate::sys::mounts::Mounts;
use crate::sys::path::{Entry, ensure_directory, ensure_entry, entries, open_beneath, open_entry, open_subdirectory};
use crate::sys::{self, Context, possible_cpus};

/// The source of the store's mount, as findmnt shows it.
const SOURCE: &CStr = c"csi-bpffs-store";
/// Has the maps that belong to the node.
const CREATED: &CStr = c"created";
/// Has a directory for each persistent volume.
const VOLUMES: &CStr = c"volumes";

/// What the pinner keeps.
#[derive(Debug)]
pub struct Store {
    /// Where it is mounted.
    pub directory: PathBuf,
    spares: Spares,
    /// Held while something of a volume is created or released.
    changing: Mutex<()>,
    budget: Budget,
}

/// What is kept of a persistent volume.
#[derive(Debug)]
pub enum Kept {
    /// Nothing, or an empty directory.
    Nothing,
    /// Maps, in this directory.
    Maps(OwnedFd),
    /// A workspace, by its root.
    Workspace(OwnedFd),
}

impl Store {
    /// Opens the store, mounting it first unless it is mounted.
    ///
    /// # Errors
    /// If the directory cannot be created or the mount fails.
    pub fn open_or_mount(directory: PathBuf, limits: Limits) -> sys::Result<Self> {
        ensure_directory(&directory)?;
        let place = open_beneath(&directory, "".as_ref())?;
        if !is_store(place.as_fd())? {
            let fresh = mount::detached(c"bpf", &[(c"source", SOURCE), (c"mode", c"0700")])?;
            mount::attach(fresh.as_fd(), place.as_fd(), c"")?;
        }
        let root = open_beneath(&directory, "".as_ref())?;
        for name in [CREATED, VOLUMES] {
            ensure_entry(root.as_fd(), name)?;
        }
        let (spares, budget) = (Spares::of(root.as_fd())?, Budget::new(limits, possible_cpus()?));
        let store = Self { directory, spares, changing: Mutex::default(), budget };
        for id in store.kept_volumes()? {
            if let Ok(Kept::Workspace(root)) = store.kept(&id) {
                store.hold(&id, root.as_fd())?;
            }
        }
        Ok(store)
    }

    /// What is kept of a volume.
    ///
    /// # Errors
    /// [`Error::Unusable`] if something else is in its place.
    pub fn kept(&self, volume_id: &str) -> Result<Kept> {
        let foreign = |what: &str| {
            let path = self.directory.join("volumes").join(volume_id);
            Err(Error::Unusable(format!(
                "{} is {what} that the pinner did not make: remove it, or unmount it, on the node",
                path.display()
            )))
        };
        let volumes = self.volumes()?;
        let Some(entry) = open_entry(volumes.as_fd(), &file_name(volume_id))? else { return Ok(Kept::Nothing) };
        let stat = rustix::fs::statx(&entry, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)
            .context("statx", || volume_id.to_owned())?;
        if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::Directory {
            return foreign("something");
        }
        if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            let is_bpf = mount::file_system(entry.as_fd())?.kind == Kind::Bpf;
            return if is_bpf { Ok(Kept::Workspace(entry)) } else { foreign("a mount") };
        }
        Ok(if entries(entry.as_fd(), 1)?.is_empty() { Kept::Nothing } else { Kept::Maps(entry) })
    }

    /// The ids of all volumes with a directory in the store, even an empty one, in no order.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn kept_volumes(&self) -> sys::Result<Vec<String>> {
        let volumes = entries(self.volumes()?.as_fd(), usize::MAX)?;
        let directories = volumes.into_iter().filter(|entry| entry.kind == FileType::Directory);
        Ok(directories.filter_map(|Entry { name, .. }| name.into_string().ok()).collect())
    }

    fn volumes(&self) -> sys::Result<OwnedFd> {
        self.subdirectory(VOLUMES)
    }

    fn subdirectory(&self, name: &CStr) -> sys::Result<OwnedFd> {
        let root = self.root()?;
        let object = || self.directory.join(name.to_string_lossy().as_ref()).display().to_string();
        open_subdirectory(root.as_fd(), name)?.ok_or(rustix::io::Errno::NOENT).context("open", object)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `place` is the root of a store: a bpffs with the store's source that only root can use. Anybody's bpffs may
/// be mounted at the path.
fn is_store(place: BorrowedFd<'_>) -> sys::Result<bool> {
    let wanted = StatxFlags::MODE | StatxFlags::UID;
    let stat = rustix::fs::statx(place, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted)
        .context("statx", || "the store".to_owned())?;
    let is_roots = stat.stx_uid == 0 && stat.stx_mode & 0o777 == 0o700;
    let (_, mount) = Mounts::find(place)?;
    // Before Linux 5.17 a bpffs shows no source.
    Ok(is_roots
        && stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        && mount.is_some_and(|mount| {
            let says_so = mount.source.is_none_or(|source| source.as_bytes() == SOURCE.to_bytes());
            mount.kind == Kind::Bpf && !mount.is_read_only && says_so
        }))
}

/// For a checked id or name, which has no NUL.
fn file_name(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}

fn kept_as(volume_id: &str, what: &str, wanted: &str) -> Error {
    Error::Unusable(format!("volume {volume_id:?} is kept as {what} here, so it cannot be {wanted} too"))
}
