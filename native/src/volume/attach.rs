//! Attaching what is complete, where nothing forbids it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::generation::swap;
use super::observe::Mounted;
use super::publish::Publisher;
use super::{list, siblings};
use crate::error::{Error, Result};
use crate::kubelet::{MOUNT, Place};
use crate::sys::{Context, mount};

/// What a pod gets by a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Maps to write, and none to read.
    WritableMaps,
    /// Maps to read, by name, and perhaps others to write.
    ReadOnlyMaps(Vec<String>),
    /// A directory to write to.
    Workspace,
}

/// What has to hold when a volume is attached.
#[derive(Debug)]
pub struct Terms<'a> {
    pub volume_id: &'a str,
    pub single_target: bool,
    pub gives: Gives,
}

impl Publisher {
    /// Attaches a tree at its place, over the generation that is there if one is. `last` runs when nothing else can refuse.
    ///
    /// # Errors
    /// [`Error::Unusable`] where the terms do not hold, and what `last` says; nothing was attached then.
    pub(super) fn attach(
        &self,
        tree: &OwnedFd,
        place: &Place,
        over: Option<&Mounted>,
        terms: &Terms<'_>,
        last: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        // Between our look at the pod's other volumes, or at other targets, and our mount no other call may attach one.
        let is_free = terms.gives == Gives::WritableMaps && !terms.single_target;
        let _alone = (!is_free).then(|| self.attaching.lock().unwrap_or_else(PoisonError::into_inner));
        if terms.single_target && over.is_none() {
            self.refuse_second_target(terms.volume_id, place)?;
        }
        let store = &self.sources.store;
        match &terms.gives {
            Gives::WritableMaps => {}
            Gives::ReadOnlyMaps(maps) => {
                siblings::no_workspace_beside(place, store, maps)?;
            }
            Gives::Workspace => siblings::no_read_only_map_beside(place, store)?,
        }
        last()?;
        match over {
            Some(mounted) => Ok(swap(tree, mounted, place)?),
            None => Ok(attach_first(tree, place)?),
        }
    }

    fn refuse_second_target(&self, volume_id: &str, place: &Place) -> Result<()> {
        let published = list::list(&self.kubelet, &self.sources.store)?;
        match published.iter().find(|other| other.volume_id == volume_id && other.target.path() != place.path) {
            None => Ok(()),
            Some(other) => Err(Error::Unusable(format!(
                "volume {volume_id:?} may be at one target at a time, and is published at {}: end the pod that has it",
                other.target.path().display()
            ))),
        }
    }
}

/// Puts a complete tree where nothing is mounted; a directory that was made for it goes again when that fails.
fn attach_first(tree: &OwnedFd, place: &Place) -> crate::sys::Result<()> {
    let is_new = match rustix::fs::mkdirat(&place.parent, MOUNT, Mode::from_raw_mode(0o750)) {
        Err(Errno::EXIST) => false,
        made => made.call("mkdir", || place.path.display().to_string()).map(|()| true)?,
    };
    let attached = mount::attach(tree.as_fd(), place.parent.as_fd(), MOUNT);
    if attached.is_err() && is_new {
        let _ = rustix::fs::unlinkat(&place.parent, MOUNT, AtFlags::REMOVEDIR);
    }
    attached
}
