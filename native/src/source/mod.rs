//! From a source to a map of this kernel.

mod created;
mod index;
mod loaded;
mod pinned;
mod workspace;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

pub use self::index::Index;
use crate::error::{Error, Result};
use crate::map_type;
use crate::request::Source;
use crate::store::Store;
use crate::sys::Context;
use crate::sys::bpf::{self, MapInfo};

/// A map in hand.
#[derive(Debug)]
pub struct Map {
    /// Keeps it alive.
    pub fd: OwnedFd,
    /// As it was when it was found.
    pub info: MapInfo,
}

/// Where maps are looked for.
#[derive(Debug)]
pub struct Sources {
    /// The directories beneath which a pin may lie.
    pub pin_roots: Vec<PathBuf>,
    /// What the pinner keeps itself.
    pub store: Store,
    index: Index,
}

/// What to do about a created map that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// Make it.
    Create,
    /// Say so.
    Fail,
}

impl Map {
    /// The same map, in another descriptor.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn another(&self) -> crate::sys::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0).context("dup", || self.info.name().to_owned())?;
        Ok(Self { fd, info: self.info })
    }
}

impl Sources {
    /// Those of this node.
    #[must_use]
    pub fn new(pin_roots: Vec<PathBuf>, store: Store) -> Self {
        Self { pin_roots, store, index: Index::default() }
    }

    /// Finds the map that a source means, and checks that its type is handed out.
    ///
    /// # Errors
    /// [`Error::NotYet`] when it is not there, [`Error::Unusable`] when it is ambiguous, no map or of a refused type.
    pub fn resolve(&self, source: &Source, if_absent: IfAbsent) -> Result<Map> {
        let map = match source {
            Source::Pinned(path) => pinned::open(path, &self.pin_roots)?,
            Source::Loaded(wanted) => loaded::find(&self.index, wanted)?,
            Source::Created(wanted) => created::open(&self.store, wanted, if_absent)?,
            Source::Workspace(wanted) => workspace::open(&self.store, wanted)?,
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

/// Takes a descriptor for a map, once it is known to be one.
fn map(fd: OwnedFd) -> Result<Map> {
    let info = bpf::map_info(fd.as_fd())?;
    Ok(Map { fd, info })
}
