//! Giving up what is kept of a volume.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::{Kept, Store, file_name};
use crate::error::{Error, Result};
use crate::sys::mountinfo::Mounts;
use crate::sys::path::{Entry, entries};
use crate::sys::{Context, mount};

impl Store {
    /// Gives up the maps of a volume, or its workspace, and its directory; that there is nothing is success. Pods that have
    /// it published keep it.
    ///
    /// # Errors
    /// [`Error::Unusable`] or [`Error::NotOurs`] when something is there that the pinner did not make, [`Error::NotYet`]
    /// when a workspace is published that this kernel could not tell from another's bpffs afterwards.
    pub fn release(&self, volume_id: &str) -> Result<()> {
        let _changing = self.change();
        let (volumes, name) = (self.volumes()?, file_name(volume_id));
        while let Kept::Workspace(root) = self.kept(volume_id)? {
            self.refuse_to_forget(root.as_fd(), volume_id)?;
            drop(root);
            mount::detach(volumes.as_fd(), &name)?;
        }
        if let Kept::Maps(directory) = self.kept(volume_id)? {
            unpin_all(directory.as_fd(), volume_id)?;
        }
        match rustix::fs::unlinkat(&volumes, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed.call("rmdir", || volume_id.to_owned())?),
        }
    }

    /// Where the kernel shows no source of a bpffs, what is kept here is all that tells whose a workspace is.
    fn refuse_to_forget(&self, root: BorrowedFd<'_>, volume_id: &str) -> Result<()> {
        let (Mounts::Table(table), Some(kept)) = Mounts::find(root)? else { return Ok(()) };
        if kept.source.is_some() {
            return Ok(());
        }
        match table.iter().find(|row| row.mount.device == kept.device && !row.target.starts_with(&self.directory)) {
            None => Ok(()),
            Some(published) => Err(Error::NotYet(format!(
                "workspace {volume_id:?} is still published at {}, and this kernel (before Linux 5.17) could not tell it \
                 from another filesystem afterwards: end the pod that has it",
                published.target.display()
            ))),
        }
    }
}

fn unpin_all(directory: BorrowedFd<'_>, volume_id: &str) -> Result<()> {
    let entries = entries(directory, usize::MAX)?;
    if let Some(foreign) = entries.iter().find(|entry| entry.kind == FileType::Directory) {
        return Err(Error::NotOurs(format!(
            "the store holds a directory {:?} in volume {volume_id:?}, which the pinner did not make; it is left as it is",
            foreign.name
        )));
    }
    for Entry { name, .. } in entries {
        match rustix::fs::unlinkat(directory, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            unlinked => unlinked.call("unlink", || format!("{volume_id}/{}", name.to_string_lossy()))?,
        }
    }
    Ok(())
}
