//! Unpublishes a volume: unmounts until nothing is mounted, then removes the directory.

use std::os::fd::AsFd;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{Found, Publisher, observe};
use crate::error::{Error, Result};
use crate::kubelet::{MOUNT, Target};
use crate::sys::{self, mount};

impl Publisher {
    /// Removes a volume from its target. Succeeds if it is gone already. A workspace stays in the store.
    ///
    /// # Errors
    /// [`Error::NotOurs`] if something else is there.
    pub fn unpublish(&self, volume_id: &str, target: &Target) -> Result<()> {
        self.unmount(volume_id, target)?;
        self.delegator.as_ref().map_or(Ok(()), |delegator| delegator.forget(target))
    }

    fn unmount(&self, volume_id: &str, target: &Target) -> Result<()> {
        let shown = target.path().display();
        let refuse = |what: &str| {
            Err(Error::NotOurs(format!(
                "{shown} is {what}; it is left as it is: remove it, or unmount it, on the node"
            )))
        };
        let Some(place) = self.kubelet.place(target)? else { return Ok(()) };
        let mut is_vouched = false;
        loop {
            let found = observe(&place, Some(volume_id), &self.sources.store)?;
            if matches!(found, Found::Nothing) {
                return Ok(());
            }
            if !is_vouched {
                self.kubelet.vouched(&place, volume_id)?;
                is_vouched = true;
            }
            match found {
                Found::Nothing => return Ok(()),
                Found::Volume(mounted) if mounted.is(volume_id) => {
                    mount::detach(place.parent.as_fd(), MOUNT)?;
                    // Most volumes have one generation, and only the empty directory is left.
                    if rustix::fs::unlinkat(&place.parent, MOUNT, AtFlags::REMOVEDIR).is_ok() {
                        return Ok(());
                    }
                }
                Found::Volume(mounted) => {
                    return refuse(&format!("another volume, {}", mounted.shown_id()));
                }
                Found::Foreign(what) => return refuse(&what),
                Found::Directory(_) => {
                    return match rustix::fs::unlinkat(&place.parent, MOUNT, AtFlags::REMOVEDIR) {
                        Ok(()) | Err(Errno::NOENT) => Ok(()),
                        Err(Errno::NOTEMPTY) => refuse("a directory that is not empty"),
                        Err(errno) => Err(sys::Error { call: "rmdir", errno, object: shown.to_string() }.into()),
                    };
                }
            }
        }
    }
}
