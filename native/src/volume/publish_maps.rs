//! Publishes a volume with maps: observe, resolve, build, attach.

use std::os::fd::{AsFd, OwnedFd};

use super::build::{File, Plan, build};
use super::carriers::{self, Gives};
use super::change::{Change, changes};
use super::identify::Layout;
use super::mark::Mark;
use super::mismatch::{differences, otherwise, same_volume};
use super::observe::Mounted;
use super::publisher::{Publisher, Terms};
use super::renew::{Resolved, There};
use crate::error::{Error, Result};
use crate::kubelet::{Lifecycle, Place};
use crate::request::{Created, Source, Volume, VolumeMap};
use crate::source::IfAbsent;

/// What a publish did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The volume was not mounted.
    Created,
    /// The volume was mounted as requested.
    Unchanged,
    /// The volume was mounted with these differences.
    Replaced(Vec<Change>),
}

/// What publishing a volume of maps did.
#[derive(Debug)]
pub struct Published {
    /// What happened to the volume.
    pub outcome: Outcome,
    /// What was mounted; empty if the volume is unchanged.
    pub given: Vec<Given>,
    /// The maps whose sources could not be used on renewal.
    pub refusals: Vec<Refusal>,
}

/// A map that was mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The map's name.
    pub map: String,
    /// The kernel's id of it.
    pub id: u32,
    /// Whether the pod may write to it.
    pub writable: bool,
}

/// Why a map was not looked up again on renewal: it stayed as it was, or stayed out.
#[derive(Debug)]
pub struct Refusal {
    /// The map's name.
    pub map: String,
    /// The error that a new volume would have failed with.
    pub error: Error,
}

impl Publisher {
    /// Publishes a volume, unless it is mounted as requested.
    ///
    /// `is_cancelled` is called before each costly step, and finally before the volume is attached.
    ///
    /// # Errors
    /// As the API's `PublishVolume`.
    pub fn publish(&self, volume: &Volume, is_cancelled: &dyn Fn() -> bool) -> Result<Published> {
        let proceed = || if is_cancelled() { Err(Error::Cancelled) } else { Ok(()) };
        let (place, lifecycle) = self.open_place(&volume.target, &volume.id)?;
        lifecycle.map_or(Ok(()), |lifecycle| check_kept(volume, lifecycle))?;
        let mounted = self.mounted(&place, &volume.id)?;
        let mut there = match &mounted {
            Some(mounted) => Some(same_request(mounted, volume, &place)?),
            None => volume.require_whole().map(|()| None)?,
        };
        proceed()?;
        let (mut maps, refusals) = self.resolve(volume, there.as_mut())?;
        let changes = match &there {
            Some(there) => Some(self.changes(there, &mut maps, &place)?),
            None => None,
        };
        if changes.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Published { outcome: Outcome::Unchanged, given: Vec::new(), refusals });
        }
        proceed()?;
        let tree = self.build(volume, &maps, mounted.as_ref())?;
        let terms = Terms { volume_id: &volume.id, single_target: volume.single_target, gives: Gives::of(&maps) };
        self.attach(&tree, &place, mounted.as_ref(), &terms, proceed)?;
        let given = maps.iter().map(|Resolved { file, map, writable, .. }| Given {
            map: file.name.clone(),
            id: map.info.id,
            writable: *writable,
        });
        Ok(Published { outcome: changes.map_or(Outcome::Created, Outcome::Replaced), given: given.collect(), refusals })
    }

    /// How the maps differ from the mounted ones, after those are removed that the pod must not have beside its other
    /// volumes.
    fn changes(&self, there: &There<'_>, maps: &mut Vec<Resolved<'_>>, place: &Place) -> Result<Vec<Change>> {
        let differences = |maps: &[Resolved<'_>]| {
            changes(&there.files, maps.iter().map(|map| (&map.file.file, map.map.info.id, map.writable)))
        };
        carriers::narrow(maps, there.mounted);
        let found = differences(maps);
        // To refuse them would leave the mounted volume as it is, perhaps with more than it may have now.
        let would_read = !found.is_empty() && maps.iter().any(|map| !map.writable);
        if would_read && carriers::beside(place, &self.sources.store)?.is_some() {
            maps.retain(|map| map.writable);
            return Ok(differences(maps));
        }
        Ok(found)
    }

    /// Resolves the maps. Created maps come last, so that none is created for a volume that another map makes fail. On
    /// renewal, a map whose source is unavailable stays as it is mounted, or stays out.
    fn resolve<'a>(
        &self,
        volume: &'a Volume,
        mut there: Option<&mut There<'_>>,
    ) -> Result<(Vec<Resolved<'a>>, Vec<Refusal>)> {
        let is_created = |map: &VolumeMap| matches!(map.source, Some(Source::Created(_)));
        let mut maps = Vec::with_capacity(volume.maps.len());
        let mut refusals = Vec::new();
        for created in [false, true] {
            if created && there.is_none() {
                refuse_carriers(volume, &maps)?;
            }
            for file in volume.maps.iter().filter(|map| is_created(map) == created) {
                let resolved = file
                    .source
                    .as_ref()
                    .map(|source| self.open_map(source, IfAbsent::Create).map_err(|error| error.of_map(&file.name)));
                match (resolved, &mut there) {
                    // In a volume from before marks, several maps may claim the same file.
                    (None, Some(_)) if maps.iter().any(|kept: &Resolved<'_>| kept.file.file == file.file) => {}
                    (None, Some(there)) => maps.extend(there.keep(file)?),
                    // Impossible: parsing requires a source for every map of a new volume.
                    (None, None) => {}
                    (Some(Err(error @ (Error::NotYet(_) | Error::Unusable(_) | Error::Exhausted(_)))), Some(there))
                        if volume.renew =>
                    {
                        maps.extend(there.keep(file)?);
                        refusals.push(Refusal { map: file.name.clone(), error });
                    }
                    (Some(resolved), _) => {
                        let from = Some(Mark::of_origin(file));
                        maps.push(Resolved { file, map: resolved?, writable: file.writable, from });
                    }
                }
            }
        }
        Ok((maps, refusals))
    }

    fn build(&self, volume: &Volume, maps: &[Resolved<'_>], over: Option<&Mounted>) -> Result<OwnedFd> {
        let file = |&Resolved { file, ref map, writable, from }| File {
            path: &file.file,
            map: map.fd.as_fd(),
            writable,
            from,
        };
        let files: Vec<_> = maps.iter().map(file).collect();
        let Volume { id: volume_id, gid, user_namespace, .. } = volume;
        let request = volume.request.as_deref().map(Mark::of).or_else(|| over?.marks.origin_in(volume_id));
        let carries = over.map_or_else(|| matches!(Gives::of(maps), Gives::MapOfMaps(_)), |over| over.carries);
        let plan = Plan { volume_id, request, files: &files, gid: *gid, user_namespace: *user_namespace, carries };
        Ok(build(&plan, &self.composer)?)
    }
}

/// Refuses a carrier together with a read-only map, counting the maps that are yet to be created.
fn refuse_carriers(volume: &Volume, found: &[Resolved<'_>]) -> Result<()> {
    let created = volume.maps.iter().filter_map(|map| match &map.source {
        Some(Source::Created(created)) => Some((map.name.as_str(), map.writable, created.shape.kind)),
        _ => None,
    });
    let found = found.iter().map(|map| (map.file.name.as_str(), map.writable, map.map.info.kind));
    carriers::refuse_both(&found.chain(created))
}

/// Refuses maps that are kept for another volume, and any kept map in an inline volume.
fn check_kept(volume: &Volume, lifecycle: Lifecycle) -> Result<()> {
    for map in &volume.maps {
        let Some(Source::Created(Created { volume_id: Some(keeper), .. })) = &map.source else { continue };
        if lifecycle == Lifecycle::Ephemeral {
            return Err(Error::Unusable(format!("map {:?}: nothing can be kept for an inline volume", map.name)));
        }
        if *keeper != volume.id {
            return Err(Error::Unusable(format!("map {:?}: it is kept for another volume, {keeper:?}", map.name)));
        }
    }
    Ok(())
}

/// Compares a mounted volume with a request, except for the maps' ids and, on renewal, all of its files.
fn same_request<'a>(mounted: &'a Mounted, volume: &'a Volume, place: &Place) -> Result<There<'a>> {
    let layout = if volume.user_namespace { Layout::Tmpfs } else { Layout::Pins };
    same_volume(mounted, &volume.id, layout, volume.gid, place)?;
    let asked = volume.request.as_deref().map(Mark::of);
    let recorded = mounted.marks.origin_in(&volume.id);
    let is_other = recorded.is_some() && asked.is_some() && recorded != asked;
    let there = There::new(mounted, &volume.id)?;
    if volume.renew && !is_other {
        return Ok(there);
    }
    match differences(there.files.iter().map(|(name, file)| (name, file.writable)), &volume.maps) {
        Some(how) => Err(otherwise(place, &format!("other maps or access: {how}"))),
        None if is_other => Err(otherwise(
            place,
            "another request, by which it had the same files: other BpfMaps, or access that was withdrawn since",
        )),
        None => Ok(there),
    }
}
