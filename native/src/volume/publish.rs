//! Publishing a volume with maps: observe, resolve, build, attach.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use super::Modes;
use super::attach::{Gives, Terms};
use super::build::{File, Plan, build};
use super::change::{Change, changes};
use super::compose::Composer;
use super::mark::Mark;
use super::observe::{Found, Layout, Mounted, observe};
use super::renew::{Resolved, There};
use crate::error::{Error, Result};
use crate::kubelet::{Kubelet, Lifecycle, Place, Target};
use crate::request::{Created, Source, Volume, VolumeMap};
use crate::source::{IfAbsent, Sources};
use crate::sys::path::entries;

/// What publishing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The volume was not there.
    Created,
    /// It was there, just so.
    Unchanged,
    /// It was there, with these differences.
    Replaced(Vec<Change>),
}

/// All that publishing needs.
#[derive(Debug)]
pub struct Publisher {
    /// Who says where volumes are.
    pub kubelet: Kubelet,
    /// Where maps are looked for.
    pub sources: Sources,
    /// How trees are put together.
    pub composer: Composer,
    /// Held while a volume is attached whose pod, or whose other targets, have a say in it.
    pub(super) attaching: Mutex<()>,
}

impl Publisher {
    /// One for all volumes that a kubelet has.
    #[must_use]
    pub fn new(kubelet: Kubelet, sources: Sources, composer: Composer) -> Self {
        Self { kubelet, sources, composer, attaching: Mutex::default() }
    }

    /// Makes the volume at its target unless it is there just so.
    ///
    /// `is_cancelled` is asked before each costly step and last before the volume is attached.
    ///
    /// # Errors
    /// As the API's `PublishVolume`.
    pub fn publish(&self, volume: &Volume, is_cancelled: &dyn Fn() -> bool) -> Result<Outcome> {
        let proceed = || if is_cancelled() { Err(Error::Cancelled) } else { Ok(()) };
        let (place, lifecycle) = self.open_place(&volume.target, &volume.id)?;
        lifecycle.map_or(Ok(()), |lifecycle| check_kept(volume, lifecycle))?;
        let mounted = self.mounted(&place)?;
        let mut there = match &mounted {
            Some(mounted) => Some(same_request(mounted, volume, &place)?),
            None => volume.require_whole().map(|()| None)?,
        };
        proceed()?;
        let maps = self.resolve(volume, there.as_mut())?;
        let changes = there
            .map(|there| changes(&there.files, maps.iter().map(|map| (&map.file.file, map.map.info.id, map.writable))));
        if changes.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Outcome::Unchanged);
        }
        proceed()?;
        let request = volume.request.as_deref().map(Mark::of);
        let request = request.or_else(|| mounted.as_ref()?.marks.origin_in(&volume.id));
        let tree = self.build(volume, request, &maps)?;
        let read_only: Vec<_> = maps.iter().filter(|map| !map.writable).map(|map| map.file.name.clone()).collect();
        let gives = if read_only.is_empty() { Gives::WritableMaps } else { Gives::ReadOnlyMaps(read_only) };
        let terms = Terms { volume_id: &volume.id, single_target: volume.single_target, gives };
        self.attach(&tree, &place, mounted.as_ref(), &terms, proceed)?;
        Ok(changes.map_or(Outcome::Created, Outcome::Replaced))
    }

    /// The place for a volume, and what the kubelet says of it where it is asked.
    pub(super) fn open_place(&self, target: &Target, volume_id: &str) -> Result<(Place, Option<Lifecycle>)> {
        let absent = || {
            let shown = target.path().display();
            Error::InvalidArgument(format!("target_path: the parent directory of {shown} does not exist"))
        };
        let place = self.kubelet.place(target)?.ok_or_else(absent)?;
        let lifecycle = self.kubelet.vouched(&place, volume_id)?;
        Ok((place, lifecycle))
    }

    /// The volume at a place; `None` where one can be put.
    pub(super) fn mounted(&self, place: &Place) -> Result<Option<Mounted>> {
        match observe(place, &self.sources.store)? {
            Found::Nothing => Ok(None),
            Found::Directory(directory) if entries(directory.as_fd(), 1)?.is_empty() => Ok(None),
            Found::Directory(_) => Err(occupied(place, "a directory that is not empty")),
            Found::Foreign(what) => Err(occupied(place, &what)),
            Found::Volume(mounted) => Ok(Some(mounted)),
        }
    }

    /// Created maps come last, so that none is made for a volume that fails for another map. In a volume that is there and
    /// is renewed, a map whose source is not there stays, or stays out.
    fn resolve<'a>(&self, volume: &'a Volume, mut there: Option<&mut There<'_>>) -> Result<Vec<Resolved<'a>>> {
        let is_created = |map: &VolumeMap| matches!(map.source, Some(Source::Created(_)));
        let mut maps = Vec::with_capacity(volume.maps.len());
        for created in [false, true] {
            for file in volume.maps.iter().filter(|map| is_created(map) == created) {
                let resolved = match &file.source {
                    Some(source) => {
                        self.sources.resolve(source, IfAbsent::Create).map_err(|error| error.of_map(&file.name))
                    }
                    None => Err(Error::NotYet(String::new())),
                };
                match (resolved, &mut there) {
                    (Err(Error::NotYet(_) | Error::Unusable(_) | Error::Exhausted(_)), Some(there)) if volume.renew => {
                        maps.extend(there.keep(file)?);
                    }
                    (resolved, _) => {
                        let from = Some(Mark::of(&file.name));
                        maps.push(Resolved { file, map: resolved?, writable: file.writable, from });
                    }
                }
            }
        }
        Ok(maps)
    }

    fn build(&self, volume: &Volume, request: Option<Mark>, maps: &[Resolved<'_>]) -> Result<OwnedFd> {
        let file = |&Resolved { file, ref map, writable, from }| File {
            path: &file.file,
            map: map.fd.as_fd(),
            writable,
            from,
        };
        let files: Vec<_> = maps.iter().map(file).collect();
        let Volume { id: volume_id, gid, user_namespace, .. } = volume;
        let plan = Plan { volume_id, request, files: &files, gid: *gid, user_namespace: *user_namespace };
        Ok(build(&plan, &self.composer)?)
    }
}

/// Refuses maps that are kept for another volume, and any that are kept for one that ends with its pod.
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

fn occupied(place: &Place, what: &str) -> Error {
    Error::Occupied(format!("{} is {what}; it is left as it is", place.path.display()))
}

pub(super) fn otherwise(place: &Place, how: &str) -> Error {
    Error::Occupied(format!("{} was published before with {how}", place.path.display()))
}

/// Holds what is mounted against what is asked, files left aside.
pub(super) fn same_volume(
    mounted: &Mounted,
    volume_id: &str,
    layout: Layout,
    gid: Option<u32>,
    place: &Place,
) -> Result<()> {
    if !mounted.is(volume_id) {
        let (target, other) = (place.path.display(), mounted.volume_id.as_deref().unwrap_or_default());
        return Err(Error::Occupied(format!("{target} holds another volume, {other}")));
    }
    match (mounted.layout, layout) {
        (Layout::Workspace, Layout::Workspace) => return Ok(()),
        (Layout::Workspace, _) => return Err(otherwise(place, "a workspace to write to")),
        (_, Layout::Workspace) => return Err(otherwise(place, "maps")),
        (is, asked) if is == asked => {}
        (is, _) => return Err(otherwise(place, &format!("user_namespace {}", is == Layout::Carrier))),
    }
    let group = |gid: u32, mode: u32| if mode & 0o005 == 0 { gid.to_string() } else { "none".to_owned() };
    let modes = Modes::new(gid, layout == Layout::Carrier);
    let asked = (gid.unwrap_or(0), modes.directory.bits());
    if (mounted.gid, mounted.mode) != asked {
        let (is, asked) = (group(mounted.gid, mounted.mode), group(asked.0, asked.1));
        return Err(otherwise(place, &format!("group {is}, now asked for group {asked}")));
    }
    Ok(())
}

/// Holds a mounted volume against what is asked, the maps' identity left aside and, to renew it, all of its files.
fn same_request<'a>(mounted: &'a Mounted, volume: &'a Volume, place: &Place) -> Result<There<'a>> {
    let layout = if volume.user_namespace { Layout::Carrier } else { Layout::Pins };
    same_volume(mounted, &volume.id, layout, volume.gid, place)?;
    let asked = volume.request.as_deref().map(Mark::of);
    if let (Some(is), Some(asked)) = (mounted.marks.origin_in(&volume.id), asked)
        && is != asked
    {
        return Err(otherwise(place, "another request: what the pod asks for cannot change while the volume is there"));
    }
    let there = There::new(mounted, &volume.id)?;
    if volume.renew {
        return Ok(there);
    }
    let files = &there.files;
    let differs = |how: String| Err(otherwise(place, &how));
    let access = |writable: bool| if writable { "read-write" } else { "read-only" };
    for asked in &volume.maps {
        match files.get(&asked.file) {
            None => return differs(format!("other maps: it has no {:?}", asked.file)),
            Some(file) if file.writable != asked.writable => {
                let (is, wanted) = (access(file.writable), access(asked.writable));
                return differs(format!("map {:?} {is}, now asked for {wanted}", asked.name));
            }
            Some(_) => {}
        }
    }
    let extra = files.keys().find(|name| volume.maps.iter().all(|asked| asked.file != **name));
    match extra {
        Some(extra) => differs(format!("other maps: it has {extra:?} too")),
        None => Ok(there),
    }
}
