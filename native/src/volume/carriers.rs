//! Keeps carriers of descriptors out of pods that have read-only maps.
//!
//! A process with a read-only descriptor of a map can pin it again in a writable directory, that of a **workspace** or
//! a **delegation**, and open that pin for writing. Or it can put the descriptor into a writable **map of maps**, whose programs then
//! write the inner map. In no case does the kernel check the descriptor's mode. `docs/threat-model.md` lists what
//! else there is, and why it is no carrier.
//!
//! Whether a volume may carry descriptors is decided when it is first published and never changes: what a process
//! opened in one generation it still has in the next.

use std::path::PathBuf;

use super::identify::Layout;
use super::observe::Mounted;
use super::pod_volumes;
use super::renew::Resolved;
use crate::error::{Error, Result};
use crate::kubelet::Place;
use crate::map_type::holds_maps;
use crate::store::Store;
use crate::text::list;

/// What a volume gives to its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Writable maps, none of them a carrier; or no maps.
    WritableMaps,
    /// Read-only maps, by name, and perhaps writable ones.
    ReadOnlyMaps(Vec<String>),
    /// A writable map of maps, by name, and no read-only map.
    MapOfMaps(String),
    /// A directory to write to.
    Workspace,
    /// A directory to write to, once the pod has asked for it.
    Delegation,
}

impl Gives {
    /// What a volume with these maps gives.
    pub fn of(maps: &[Resolved<'_>]) -> Self {
        let read_only: Vec<_> = maps.iter().filter(|map| !map.writable).map(|map| map.file.name.clone()).collect();
        match maps.iter().find(|map| map.writable && holds_maps(map.map.info.kind)) {
            _ if !read_only.is_empty() => Self::ReadOnlyMaps(read_only),
            Some(carrier) => Self::MapOfMaps(carrier.file.name.clone()),
            None => Self::WritableMaps,
        }
    }
}

/// Refuses a carrier and a read-only map in one new volume. Each map is given by its name, whether it is writable, and
/// its type.
///
/// # Errors
/// [`Error::Unusable`] naming both.
pub fn refuse_both<'a>(maps: &(impl Iterator<Item = (&'a str, bool, u32)> + Clone)) -> Result<()> {
    let carrier = maps.clone().find(|&(_, writable, kind)| writable && holds_maps(kind));
    let read_only = maps.clone().find(|&(_, writable, _)| !writable);
    let (Some((carrier, ..)), Some((read_only, ..))) = (carrier, read_only) else { return Ok(()) };
    Err(Error::Unusable(format!(
        "map {carrier:?} is a map of maps to write: the pod could put map {read_only:?} into it, which it may only read, and \
         programs that use {carrier:?} would write that; ask for all maps with :rw, or put the two into two pods"
    )))
}

/// Removes what a mounted volume must not gain: read-only maps if it may carry descriptors, else write access to maps
/// of maps.
pub fn narrow(maps: &mut Vec<Resolved<'_>>, there: &Mounted) {
    if there.carries {
        maps.retain(|map| map.writable);
    }
    for map in maps.iter_mut().filter(|map| !there.carries && holds_maps(map.map.info.kind)) {
        map.writable = false;
    }
}

/// A carrier among the pod's other volumes: a description and its target.
///
/// # Errors
/// Any kernel error.
pub fn beside(place: &Place, store: &Store) -> Result<Option<(String, PathBuf)>> {
    pod_volumes::find(place, store, |mounted, path| {
        let id = mounted.shown_id();
        let what = match mounted.layout {
            Layout::Workspace => format!("the workspace {id:?}"),
            Layout::Delegation => format!("the delegation {id:?}"),
            _ if mounted.carries => format!("the volume {id:?} with a map of maps to write"),
            _ => return Ok(None),
        };
        Ok(Some((what, path.to_owned())))
    })
}

/// Refuses a volume that would bring a carrier and a read-only map together in one pod.
///
/// # Errors
/// [`Error::Unusable`] naming both.
pub fn check(gives: &Gives, place: &Place, store: &Store) -> Result<()> {
    let carrier = match gives {
        Gives::WritableMaps => return Ok(()),
        Gives::ReadOnlyMaps(maps) => {
            let Some((what, path)) = beside(place, store)? else { return Ok(()) };
            let (maps, path) = (list(maps), path.display());
            return Err(Error::Unusable(format!(
                "this pod has {what} ({path}), by which a read-only map could be written; ask for all maps of this volume \
                 with :rw (now read-only: {maps}), or put the two into two pods"
            )));
        }
        Gives::MapOfMaps(name) => format!("map of maps {name:?}"),
        Gives::Workspace => "workspace".to_owned(),
        Gives::Delegation => "delegation".to_owned(),
    };
    let read_only = pod_volumes::find(place, store, |mounted, path| {
        if mounted.layout.is_the_pods() {
            return Ok(None);
        }
        let file = mounted.files()?.into_iter().find(|(_, file)| !file.writable);
        Ok(file.map(|(file, _)| (file, mounted.shown_id().to_owned(), path.to_owned())))
    })?;
    let Some((file, id, path)) = read_only else { return Ok(()) };
    Err(Error::Unusable(format!(
        "this pod has the volume {id:?} ({}) with the read-only map {file:?}, which could be written by way of this {carrier}; \
         ask for that volume's maps with :rw, or put the two into two pods",
        path.display()
    )))
}
