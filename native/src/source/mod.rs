//! Resolves sources to maps of this kernel.

mod created;
mod index;
mod loaded;
mod pin_root;
mod pinned;
mod workspace;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

pub use self::index::Index;
pub use self::pin_root::problem as pin_root_problem;
pub use self::pinned::map_at;
use crate::error::{Error, Result};
use crate::map_type;
use crate::request::{DelegatedMap, Source};
use crate::store::Store;
use crate::sys::Context;
use crate::sys::bpf::{self, MapInfo};

/// An open map.
#[derive(Debug)]
pub struct Map {
    /// Keeps the map alive.
    pub fd: OwnedFd,
    /// As it was when the map was opened.
    pub info: MapInfo,
}

/// Where maps are looked for.
#[derive(Debug)]
pub struct Sources {
    /// The directories below which pins may be named.
    pub pin_roots: Vec<PathBuf>,
    /// The maps and workspaces that the pinner keeps.
    pub store: Store,
    index: Index,
}

/// What to do about a created map that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// Create it.
    Create,
    /// Return [`Error::NotYet`].
    Fail,
}

impl Map {
    /// Duplicates the descriptor.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn another(&self) -> crate::sys::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0).context("dup", || self.info.name().to_owned())?;
        Ok(Self { fd, info: self.info })
    }
}

impl Sources {
    /// The sources of this node.
    #[must_use]
    pub fn new(pin_roots: Vec<PathBuf>, store: Store) -> Self {
        Self { pin_roots, store, index: Index::default() }
    }

    /// Resolves a source, and checks that the map's type is handed out. `delegated` opens a map of a delegation, which is a
    /// volume.
    ///
    /// # Errors
    /// [`Error::NotYet`] if it does not exist yet, [`Error::Unusable`] if it is ambiguous, not a map or of a refused
    /// type; for a created map, [`Error::Exhausted`] beyond the budget.
    pub fn resolve(
        &self,
        source: &Source,
        if_absent: IfAbsent,
        delegated: impl FnOnce(&DelegatedMap) -> Result<Map>,
    ) -> Result<Map> {
        let map = match source {
            Source::Pinned(path) => pinned::open(path, &self.pin_roots)?,
            Source::Loaded(wanted) => loaded::find(&self.index, wanted)?,
            Source::Created(wanted) => created::open(&self.store, wanted, if_absent)?,
            Source::Workspace(wanted) => workspace::open(&self.store, wanted)?,
            Source::Delegated(wanted) => delegated(wanted)?,
        };
        match map_type::check_handed_out(map.info.kind) {
            Ok(()) => Ok(map),
            Err(why) => {
                let (id, kind) = (map.info.id, map_type::name(map.info.kind));
                Err(Error::Unusable(format!("map {id} is of type {kind}, which is not handed out: {why}")))
            }
        }
    }
}

/// Describes a map that was opened.
fn map(fd: OwnedFd) -> Result<Map> {
    let info = bpf::map_info(fd.as_fd())?;
    Ok(Map { fd, info })
}
