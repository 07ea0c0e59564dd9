//! Unpublishing: unmount until nothing is there, then remove the directory.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{Found, Publisher, observe};
use crate::error::{Error, Result};
use crate::sys::path::Place;
use crate::sys::{self, mount};

impl Publisher {
    /// Takes the volume away from its target; that it is gone already is success. A workspace stays in the store.
    ///
    /// # Errors
    /// [`Error::NotOurs`] when something else is there.
    pub fn unpublish(&self, volume_id: &str, target: &Path) -> Result<()> {
        let shown = target.display();
        let refuse = |what: &str| Err(Error::NotOurs(format!("{shown} is {what}; it is left as it is")));
        let place = match Place::open(&self.kubelet_directory, target) {
            Ok(place) => place,
            Err(error) if error.errno == Errno::NOENT => return Ok(()),
            Err(error) if matches!(error.errno, Errno::LOOP | Errno::NOTDIR) => {
                return Err(Error::InvalidArgument(format!(
                    "target_path: {shown} goes through a symbolic link or a file"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        loop {
            match observe(&place, &self.sources.store)? {
                Found::Nothing => return Ok(()),
                Found::Volume(mounted) if mounted.is(volume_id) => mount::detach(place.parent.as_fd(), &place.name)?,
                Found::Volume(mounted) => {
                    return refuse(&format!("another volume, {}", mounted.volume_id.unwrap_or_default()));
                }
                Found::Foreign(what) => return refuse(&what),
                Found::Directory(_) => {
                    return match rustix::fs::unlinkat(&place.parent, &place.name, AtFlags::REMOVEDIR) {
                        Ok(()) | Err(Errno::NOENT) => Ok(()),
                        Err(Errno::NOTEMPTY) => refuse("a directory that is not empty"),
                        Err(errno) => Err(sys::Error { call: "rmdir", errno, object: shown.to_string() }.into()),
                    };
                }
            }
        }
    }
}
