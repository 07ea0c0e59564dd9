//! What stays of a volume whose pod runs: renewal never gives more than the volume has or its sources say.

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

/// A map that a volume is to have, and how.
#[derive(Debug)]
pub struct Resolved<'a> {
    pub file: &'a VolumeMap,
    pub map: Map,
    pub writable: bool,
    /// Of the name that it comes from; `None` where the volume does not say.
    pub from: Option<Mark>,
}

/// The files of a volume that is there, to choose from.
#[derive(Debug)]
pub struct There<'a> {
    pub mounted: &'a Mounted,
    pub volume_id: &'a str,
    pub files: BTreeMap<CString, PinnedMap>,
    /// The volume without what is mounted in it, once it was needed: only its own files have marks.
    bare: Option<OwnedFd>,
}

impl<'a> There<'a> {
    pub fn new(mounted: &'a Mounted, volume_id: &'a str) -> Result<Self> {
        Ok(Self { mounted, volume_id, files: mounted.files()?, bare: None })
    }

    /// The file that is there under the name of one whose source is not: with at most the access that it has, and only
    /// where it came from the same name, or from one that was never marked. `None`: the file stays out.
    ///
    /// # Errors
    /// Whatever the kernel says.
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
