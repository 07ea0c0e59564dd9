//! Workspaces: a bpffs each, writable by its pods and mounted in the store, so that it outlives them.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};

use super::{Kept, Store, file_name, kept_as};
use crate::error::Result;
use crate::sys::mount;
use crate::sys::mountinfo::Device;
use crate::sys::path::open_entry;
use crate::sys::{self, Context};
use crate::tree;
use crate::tree::compose::Composer;

impl Store {
    /// The root of a workspace, created if absent.
    ///
    /// # Errors
    /// [`crate::error::Error::Unusable`] if the volume has maps, [`crate::error::Error::Exhausted`] beyond the limit.
    pub fn workspace(&self, volume_id: &str, composer: &Composer) -> Result<OwnedFd> {
        let _changing = self.change();
        self.workspace_unlocked(volume_id, composer)
    }

    /// A detached, private copy of a workspace's mount, to be attached elsewhere.
    ///
    /// # Errors
    /// As [`Store::workspace`].
    pub fn workspace_copy(&self, volume_id: &str, composer: &Composer) -> Result<OwnedFd> {
        // The workspace must not be released between the lookup and the copy.
        let _changing = self.change();
        let root = self.workspace_unlocked(volume_id, composer)?;
        Ok(mount::private_copy(root.as_fd())?)
    }

    fn workspace_unlocked(&self, volume_id: &str, composer: &Composer) -> Result<OwnedFd> {
        match self.kept(volume_id)? {
            Kept::Workspace(root) => Ok(root),
            Kept::Maps(_) => Err(kept_as(volume_id, "a volume with maps", "a workspace")),
            Kept::Nothing => {
                self.check_workspaces()?;
                Ok(self.mount_workspace(volume_id, composer)?)
            }
        }
    }

    fn mount_workspace(&self, volume_id: &str, composer: &Composer) -> sys::Result<OwnedFd> {
        let (bpffs, _) = tree::bpffs(&tree::source(volume_id))?;
        let fresh = composer.compose(bpffs, tree::ROOT, &[])?;
        let directory = self.volume_directory(volume_id)?;
        mount::attach(fresh.as_fd(), directory.as_fd(), c"")?;
        self.hold(volume_id, fresh.as_fd())?;
        Ok(fresh)
    }

    /// The filesystems of all kept workspaces, with their volume ids.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn workspaces(&self) -> sys::Result<Vec<(Device, String)>> {
        let volumes = self.volumes()?;
        let mut found = Vec::new();
        for id in self.kept_volumes()? {
            let Some(entry) = open_entry(volumes.as_fd(), &file_name(&id))? else { continue };
            let stat = rustix::fs::statx(&entry, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)
                .context("statx", || id.clone())?;
            if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
                found.push(((stat.stx_dev_major, stat.stx_dev_minor), id));
            }
        }
        Ok(found)
    }
}
