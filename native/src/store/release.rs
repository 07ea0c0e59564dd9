//! Releases what is kept.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::{CREATED, Kept, Store, file_name};
use crate::error::{Error, Result};
use crate::sys::path::{Entry, entries, through_descriptor};
use crate::sys::{Context, bpf, mount};

impl Store {
    /// Releases the maps or the workspace of a volume, and its directory. Succeeds if there is nothing. Pods that have
    /// the volume keep it.
    ///
    /// # Errors
    /// [`Error::Unusable`] or [`Error::NotOurs`] if something is there that the pinner did not create.
    pub fn release(&self, volume_id: &str) -> Result<()> {
        let _changing = self.change();
        let (volumes, name) = (self.volumes()?, file_name(volume_id));
        self.let_go(volume_id);
        while let Kept::Workspace(_) = self.kept(volume_id)? {
            mount::detach(volumes.as_fd(), &name)?;
        }
        if let Kept::Maps(directory) = self.kept(volume_id)? {
            unpin_all(directory.as_fd(), volume_id)?;
        }
        match rustix::fs::unlinkat(&volumes, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed.context("rmdir", || volume_id.to_owned())?),
        }
    }

    /// Opens a map that belongs to the node; `None` if there is none of that name.
    ///
    /// # Errors
    /// Any kernel error.
    pub fn node_map(&self, name: &CStr) -> Result<Option<OwnedFd>> {
        match bpf::open_pin(&through_descriptor(self.subdirectory(CREATED)?.as_fd(), name)) {
            Err(error) if error.errno == Errno::NOENT => Ok(None),
            map => Ok(Some(map?)),
        }
    }

    /// Releases a map that belongs to the node.
    ///
    /// # Errors
    /// Any kernel error.
    pub fn release_node_map(&self, name: &CStr) -> Result<()> {
        let _changing = self.change();
        match rustix::fs::unlinkat(self.subdirectory(CREATED)?, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            unlinked => Ok(unlinked.context("unlink", || name.to_string_lossy().into_owned())?),
        }
    }
}

fn unpin_all(directory: BorrowedFd<'_>, volume_id: &str) -> Result<()> {
    let entries = entries(directory, usize::MAX)?;
    if let Some(foreign) = entries.iter().find(|entry| entry.kind == FileType::Directory) {
        return Err(Error::NotOurs(format!(
            "the store holds a directory {:?} in volume {volume_id:?}, which the pinner did not make; it is left as it is: \
             remove it on the node",
            foreign.name
        )));
    }
    for Entry { name, .. } in entries {
        match rustix::fs::unlinkat(directory, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            unlinked => unlinked.context("unlink", || format!("{volume_id}/{}", name.to_string_lossy()))?,
        }
    }
    Ok(())
}
