//! What all publishes share: finding the place for a volume, and attaching it under its terms.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::carriers::{self, Gives};
use super::generation::swap;
use super::list;
use super::observe::{Found, Mounted, observe};
use super::pod_volumes;
use super::turns::Turns;
use crate::delegation::Delegator;
use crate::error::{Error, Result};
use crate::kubelet::{Kubelet, Lifecycle, MOUNT, Place, Target};
use crate::source::Sources;
use crate::sys::path::entries;
use crate::sys::{Context, mount};
use crate::tree::compose::Composer;

/// What must hold when a volume is attached.
#[derive(Debug)]
pub struct Terms<'a> {
    pub volume_id: &'a str,
    pub single_target: bool,
    pub gives: Gives,
}

/// Publishes and releases volumes.
#[derive(Debug)]
pub struct Publisher {
    /// Where volumes are.
    pub kubelet: Kubelet,
    /// Where maps come from.
    pub sources: Sources,
    /// How trees are composed.
    pub composer: Composer,
    /// What publishes delegations; `None` on kernels without BPF tokens.
    pub delegator: Option<Delegator>,
    /// One is held while a volume is attached that depends on other volumes, and while one is released.
    pub(super) turns: Turns,
    /// Held while a pod's bpffs is mounted in its delegation, and while that is withdrawn.
    pub(super) delegating: Mutex<()>,
}

impl Publisher {
    /// A publisher for the volumes of one kubelet.
    #[must_use]
    pub fn new(kubelet: Kubelet, sources: Sources, composer: Composer) -> Self {
        Self { kubelet, sources, composer, delegator: None, turns: Turns::default(), delegating: Mutex::default() }
    }

    /// # Errors
    /// [`Error::Unusable`] if this pinner has none, because the kernel has no BPF tokens.
    pub(super) fn delegator(&self) -> Result<&Delegator> {
        self.delegator.as_ref().ok_or_else(|| {
            let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
            Error::Unusable(format!("this node's kernel, {kernel}, has no BPF tokens: take Linux 6.9 or newer"))
        })
    }

    /// Opens the place for a volume and, if configured, reads what the kubelet says of it.
    pub(super) fn open_place(&self, target: &Target, volume_id: &str) -> Result<(Place, Option<Lifecycle>)> {
        let absent = || {
            let shown = target.path().display();
            Error::InvalidArgument(format!("target_path: the parent directory of {shown} does not exist"))
        };
        let place = self.kubelet.place(target)?.ok_or_else(absent)?;
        let lifecycle = self.kubelet.vouched(&place, volume_id)?;
        Ok((place, lifecycle))
    }

    /// The volume at a place; `None` if the place is free.
    pub(super) fn mounted(&self, place: &Place, volume_id: &str) -> Result<Option<Mounted>> {
        match observe(place, Some(volume_id), &self.sources.store)? {
            Found::Nothing => Ok(None),
            Found::Directory(directory) if entries(directory.as_fd(), 1)?.is_empty() => Ok(None),
            Found::Directory(_) => Err(occupied(place, "a directory that is not empty")),
            Found::Foreign(what) => Err(occupied(place, &what)),
            Found::Volume(mounted) => Ok(Some(mounted)),
        }
    }

    /// Attaches a tree at its place, over the mounted generation if there is one. `last` runs when nothing else can
    /// refuse.
    ///
    /// # Errors
    /// [`Error::Unusable`] if the terms do not hold, and those of `last`; nothing is attached then.
    pub(super) fn attach(
        &self,
        tree: &OwnedFd,
        place: &Place,
        over: Option<&Mounted>,
        terms: &Terms<'_>,
        last: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        // Between our look at other volumes and our mount, nobody may attach one that we would have to see: of this pod,
        // or, for a single target and for a workspace's owner, anywhere.
        let is_anywhere = terms.single_target || terms.gives == Gives::Workspace;
        let is_of_pod = !is_anywhere && terms.gives != Gives::WritableMaps;
        let _of_node = is_anywhere.then(|| self.turns.of_node());
        let _of_pod = is_of_pod.then(|| self.turns.of_pod(pod_volumes::directory(place)));
        if terms.single_target && over.is_none() {
            self.refuse_second_target(terms.volume_id, place)?;
        }
        carriers::check(&terms.gives, place, &self.sources.store)?;
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
                "volume {volume_id:?} may be at one target at a time, and is published at {target}: end the pod that has it, unmount \
                 it on the node if there is no such pod any more (umount -l {target}), or claim it as ReadWriteOnce instead of \
                 ReadWriteOncePod",
                target = other.target.path().display()
            ))),
        }
    }
}

fn occupied(place: &Place, what: &str) -> Error {
    Error::Occupied(format!(
        "{} is {what}; it is left as it is: remove it, or unmount it, on the node",
        place.path.display()
    ))
}

/// Attaches a tree where nothing is mounted. If that fails, a directory created for it is removed.
fn attach_first(tree: &OwnedFd, place: &Place) -> crate::sys::Result<()> {
    let is_new = match rustix::fs::mkdirat(&place.parent, MOUNT, Mode::from_raw_mode(0o750)) {
        Err(Errno::EXIST) => false,
        made => made.context("mkdir", || place.path.display().to_string()).map(|()| true)?,
    };
    let attached = mount::attach(tree.as_fd(), place.parent.as_fd(), MOUNT);
    if attached.is_err() && is_new {
        let _ = rustix::fs::unlinkat(&place.parent, MOUNT, AtFlags::REMOVEDIR);
    }
    attached
}
