//! Maps that a loader has pinned in the bpffs of its delegation.

use std::cmp::Reverse;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat};

use super::delegation_volume::find;
use super::identify::Layout;
use super::list::list;
use super::publisher::Publisher;
use crate::delegation::BPF;
use crate::error::{Error, Result};
use crate::kubelet::Target;
use crate::request::{DelegatedMap, Source};
use crate::source::{IfAbsent, Map, map_at};
use crate::sys::Context;
use crate::sys::path::open_within;

impl Publisher {
    /// Opens the map that a source refers to.
    ///
    /// # Errors
    /// As [`crate::source::Sources::resolve`].
    pub fn open_map(&self, source: &Source, if_absent: IfAbsent) -> Result<Map> {
        self.sources.resolve(source, if_absent, |wanted| self.delegated_map(wanted))
    }

    /// Opens a map in the newest delegation of such a volume that has its bpffs. The pod may rename and unlink meanwhile and
    /// create symbolic links; none is followed.
    fn delegated_map(&self, wanted: &DelegatedMap) -> Result<Map> {
        let mut found = Vec::new();
        for listed in list(&self.kubelet, &self.sources.store)? {
            if listed.layout == Layout::Delegation && listed.target.volume() == Some(wanted.volume.as_str()) {
                found.extend(self.bpffs_of(&listed.target, wanted)?);
            }
        }
        let shown = wanted.to_string();
        let Some((_, bpffs)) = found.into_iter().min_by_key(|(made, _)| Reverse(*made)) else {
            return Err(Error::NotYet(format!(
                "there is no {shown} on this node that has its bpf filesystem; start a pod of it here, with this volume as a \
                 delegation, and with the init container bpffs-delegate"
            )));
        };
        let shown = format!("{:?} in {shown}", wanted.path.display().to_string());
        let absent = || format!("nothing is pinned at {shown} yet: start the pod that pins it there");
        map_at(open_within(bpffs.as_fd(), &wanted.path, OFlags::PATH), &shown, absent)
    }

    /// When the delegation at `target` was published, and its bpffs; `None` if it has none, is another owner's, or gone meanwhile.
    fn bpffs_of(&self, target: &Target, wanted: &DelegatedMap) -> Result<Option<((i64, u64), OwnedFd)>> {
        let mounted = match find(&self.kubelet, &self.sources.store, target) {
            Err(Error::NotFound(_)) => return Ok(None),
            found => found?,
        };
        if mounted.delegation()?.owner != wanted.owner || !mounted.is_delegated()? {
            return Ok(None);
        }
        // The pod cannot change it: the superblock is read-only.
        let made = fstat(&mounted.root).context("fstat", || wanted.volume.clone())?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let bpffs = rustix::fs::openat(&mounted.root, BPF, flags, Mode::empty());
        let bpffs = bpffs.context("openat", || BPF.to_string_lossy().into_owned())?;
        Ok(Some(((made.st_ctime, made.st_ctime_nsec), bpffs)))
    }
}
