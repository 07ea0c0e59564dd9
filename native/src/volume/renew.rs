//! What a mounted volume keeps on renewal: never more than it has, nor than was granted.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use super::mark::{Mark, Marks};
use super::observe::Mounted;
use super::walk::PinnedMap;
use crate::error::Result;
use crate::request::VolumeMap;
use crate::source::Map;
use crate::sys::mount;

/// A map for a volume, and how it is to be published.
#[derive(Debug)]
pub struct Resolved<'a> {
    pub file: &'a VolumeMap,
    pub map: Map,
    pub writable: bool,
    /// The mark of its origin; `None` if the mounted volume does not record it.
    pub from: Option<Mark>,
}

/// The files of a mounted volume.
#[derive(Debug)]
pub struct There<'a> {
    pub mounted: &'a Mounted,
    pub volume_id: &'a str,
    pub files: BTreeMap<CString, PinnedMap>,
    /// The volume without the mounts in it, opened when first needed: only its own files have marks.
    bare: Option<OwnedFd>,
}

impl<'a> There<'a> {
    pub fn new(mounted: &'a Mounted, volume_id: &'a str) -> Result<Self> {
        Ok(Self { mounted, volume_id, files: mounted.files()?, bare: None })
    }

    /// The mounted file that stands for a map whose source is unavailable: with at most its present access, and only if
    /// its origin is the same or unrecorded. `None` if there is none: the map stays out.
    ///
    /// # Errors
    /// Any kernel error.
    pub fn keep<'b>(&mut self, file: &'b VolumeMap) -> Result<Option<Resolved<'b>>> {
        let Some(there) = self.files.get(&file.file) else { return Ok(None) };
        let bare = match &self.bare {
            Some(bare) => bare,
            None => self.bare.insert(mount::clone(self.mounted.root.as_fd(), c"")?),
        };
        let from = Marks::read(bare.as_fd(), &file.file)?.origin_in(self.volume_id);
        if from.is_some_and(|from| from != Mark::of_origin(file)) {
            return Ok(None);
        }
        let writable = file.writable && there.writable;
        Ok(Some(Resolved { file, map: there.map.another()?, writable, from }))
    }
}
