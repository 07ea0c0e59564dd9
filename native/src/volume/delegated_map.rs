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
        let mut missing = Missing::Volume;
        for listed in list(&self.kubelet, &self.sources.store)? {
            if listed.layout == Layout::Delegation && listed.target.volume() == Some(wanted.volume.as_str()) {
                match self.bpffs_of(&listed.target, wanted)? {
                    Ok(bpffs) => found.push(bpffs),
                    Err(what) => missing = missing.max(what),
                }
            }
        }
        let Some(newest) = found.into_iter().min_by_key(|bpffs| Reverse(bpffs.made)) else {
            return Err(Error::NotYet(missing.text(wanted)));
        };
        let shown = format!("{:?} in {wanted}", wanted.path.display().to_string());
        let absent = || format!("nothing is pinned at {shown} yet: let its loader pin it there, or correct the path");
        map_at(open_within(newest.root.as_fd(), &wanted.path, OFlags::PATH), &shown, absent)
    }

    fn bpffs_of(&self, target: &Target, wanted: &DelegatedMap) -> Result<Result<Bpffs, Missing>> {
        let mounted = match find(&self.kubelet, &self.sources.store, target) {
            Err(Error::NotFound(_)) => return Ok(Err(Missing::Volume)),
            found => found?,
        };
        if mounted.delegation()?.owner != wanted.owner {
            return Ok(Err(Missing::Volume));
        }
        if !mounted.is_delegated()? {
            return Ok(Err(if mounted.has_socket()? { Missing::Call } else { Missing::Grant }));
        }
        // The pod cannot change it: the superblock is read-only.
        let made = fstat(&mounted.root).context("fstat", || wanted.volume.clone())?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&mounted.root, BPF, flags, Mode::empty());
        let root = root.context("openat", || BPF.to_string_lossy().into_owned())?;
        Ok(Ok(Bpffs { made: (made.st_ctime, made.st_ctime_nsec), root }))
    }
}

/// The bpffs of a delegation.
struct Bpffs {
    /// When the delegation was published.
    made: (i64, u64),
    root: OwnedFd,
}

/// Why a delegation has no bpffs; the last is the nearest to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    /// It is another owner's, or gone meanwhile.
    Volume,
    /// Its pod may not use it any more.
    Grant,
    /// Its pod's helper has not called.
    Call,
}

impl Missing {
    /// Says what to do.
    fn text(self, wanted: &DelegatedMap) -> String {
        match self {
            Self::Volume => {
                format!("there is no {wanted} on this node yet: start a pod of the account here with this volume")
            }
            Self::Grant => format!("{wanted} is withdrawn: grant it again, then create its pod again"),
            Self::Call => format!(
                "{wanted} has no bpf filesystem yet: its pod needs the init container bpffs-delegate; if it has one, read its log"
            ),
        }
    }
}
