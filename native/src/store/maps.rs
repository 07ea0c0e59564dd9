//! Maps that the pinner created.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::{CREATED, Kept, Store, file_name, kept_as};
use crate::error::Result;
use crate::sys::bpf;
use crate::sys::path::{ensure_entry, open_subdirectory, through_descriptor};
use crate::sys::{self, Context};

impl Store {
    /// The directory with the maps of a volume, or of the node; `None` if there is none yet.
    ///
    /// # Errors
    /// [`crate::error::Error::Unusable`] if the volume is a workspace.
    pub fn maps(&self, volume_id: Option<&str>) -> Result<Option<OwnedFd>> {
        let Some(id) = volume_id else { return Ok(Some(self.subdirectory(CREATED)?)) };
        match self.kept(id)? {
            Kept::Maps(directory) => Ok(Some(directory)),
            Kept::Nothing => Ok(None),
            Kept::Workspace(_) => Err(kept_as(id, "a workspace", "a volume with maps")),
        }
    }

    /// Pins a map in the store; `false` if one of that name is there already.
    ///
    /// # Errors
    /// As [`Store::maps`].
    pub fn keep_map(&self, volume_id: Option<&str>, name: &CStr, map: BorrowedFd<'_>) -> Result<bool> {
        // The directory must not be released between the lookup and the pin.
        let _changing = self.change();
        let directory = match (self.maps(volume_id)?, volume_id) {
            (Some(directory), _) => directory,
            (None, Some(id)) => self.volume_directory(id)?,
            (None, None) => self.subdirectory(CREATED)?,
        };
        match bpf::pin(map, &through_descriptor(directory.as_fd(), name)) {
            Ok(()) => Ok(true),
            Err(error) if error.errno == rustix::io::Errno::EXIST => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Where a map is pinned, for messages.
    #[must_use]
    pub fn map_path(&self, volume_id: Option<&str>, name: &CStr) -> PathBuf {
        let directory = volume_id.map_or_else(|| PathBuf::from("created"), |id| PathBuf::from("volumes").join(id));
        self.directory.join(directory).join(name.to_string_lossy().as_ref())
    }

    /// The directory of a volume, created if absent.
    pub(super) fn volume_directory(&self, volume_id: &str) -> sys::Result<OwnedFd> {
        let (volumes, name) = (self.volumes()?, file_name(volume_id));
        ensure_entry(volumes.as_fd(), &name)?;
        let directory = open_subdirectory(volumes.as_fd(), &name)?;
        directory.ok_or(rustix::io::Errno::NOENT).context("open", || volume_id.to_owned())
    }
}
