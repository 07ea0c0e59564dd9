//! Publishing a volume with maps: observe, resolve, build, attach.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::io::Errno;

use super::attach::{Gives, Terms};
use super::build::{File, Plan, build};
use super::compose::Composer;
use super::observe::{Found, Layout, Mounted, observe};
use super::walk::PinnedMap;
use super::{Modes, source};
use crate::error::{Error, Result};
use crate::request::{Source, Volume, VolumeMap};
use crate::source::{IfAbsent, Map, Sources};
use crate::sys::path::{Place, entries};

/// What publishing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The volume was not there.
    Created,
    /// It was there, just so.
    Unchanged,
    /// It was there with other maps behind the same names.
    Replaced,
}

/// All that publishing needs.
#[derive(Debug)]
pub struct Publisher {
    /// Beneath it all targets lie.
    pub kubelet_directory: PathBuf,
    /// Where maps are looked for.
    pub sources: Sources,
    /// How trees are put together.
    pub composer: Composer,
    /// Held while a volume is attached whose pod, or whose other targets, have a say in it.
    pub(super) attaching: Mutex<()>,
}

impl Publisher {
    /// One for all targets beneath a directory.
    #[must_use]
    pub fn new(kubelet_directory: PathBuf, sources: Sources, composer: Composer) -> Self {
        Self { kubelet_directory, sources, composer, attaching: Mutex::default() }
    }

    /// Makes the volume at its target unless it is there just so.
    ///
    /// `is_cancelled` is asked before each costly step and last before the volume is attached.
    ///
    /// # Errors
    /// As the API's `PublishVolume`.
    pub fn publish(&self, volume: &Volume, is_cancelled: &dyn Fn() -> bool) -> Result<Outcome> {
        let proceed = || if is_cancelled() { Err(Error::Cancelled) } else { Ok(()) };
        let place = self.open_place(&volume.target)?;
        let mounted = self.mounted(&place)?;
        let mounted = match &mounted {
            Some(mounted) => Some((mounted, same_request(mounted, volume, &place)?)),
            None => None,
        };
        proceed()?;
        let maps = self.resolve(&volume.maps)?;
        if let Some((_, files)) = &mounted
            && same_maps(files, volume, &maps)
        {
            return Ok(Outcome::Unchanged);
        }
        proceed()?;
        let tree = self.build(volume, &maps)?;
        let read_only: Vec<_> = volume.maps.iter().filter(|map| !map.writable).map(|map| map.name.clone()).collect();
        let gives = if read_only.is_empty() { Gives::WritableMaps } else { Gives::ReadOnlyMaps(read_only) };
        let terms = Terms { volume_id: &volume.id, single_target: volume.single_target, gives };
        self.attach(&tree, &place, mounted.as_ref().map(|(mounted, _)| *mounted), &terms, proceed)?;
        Ok(if mounted.is_some() { Outcome::Replaced } else { Outcome::Created })
    }

    pub(super) fn open_place(&self, target: &Path) -> Result<Place> {
        let shown = target.display();
        Place::open(&self.kubelet_directory, target).map_err(|error| match error.errno {
            Errno::LOOP => Error::InvalidArgument(format!("target_path: {shown} has a symbolic link in it")),
            Errno::NOENT | Errno::NOTDIR => {
                Error::InvalidArgument(format!("target_path: the parent directory of {shown} does not exist"))
            }
            _ => error.into(),
        })
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

    /// Created maps come last, so that none is made for a volume that fails for another map.
    fn resolve(&self, wanted: &[VolumeMap]) -> Result<Vec<Map>> {
        let is_created = |map: &VolumeMap| matches!(map.source, Source::Created(_));
        let mut maps: Vec<Option<Map>> = wanted.iter().map(|_| None).collect();
        for created in [false, true] {
            for (slot, map) in maps.iter_mut().zip(wanted).filter(|(_, map)| is_created(map) == created) {
                let resolved = self.sources.resolve(&map.source, IfAbsent::Create);
                *slot = Some(resolved.map_err(|error| error.of_map(&map.name))?);
            }
        }
        Ok(maps.into_iter().flatten().collect())
    }

    fn build(&self, volume: &Volume, maps: &[Map]) -> Result<OwnedFd> {
        let files: Vec<_> = volume
            .maps
            .iter()
            .zip(maps)
            .map(|(file, map)| File { path: &file.file, map: map.fd.as_fd(), writable: file.writable })
            .collect();
        let plan =
            Plan { source: &source(&volume.id), files: &files, gid: volume.gid, user_namespace: volume.user_namespace };
        Ok(build(&plan, &self.composer)?)
    }
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

/// Holds a mounted volume against what is asked, the maps' identity left aside.
fn same_request(mounted: &Mounted, volume: &Volume, place: &Place) -> Result<BTreeMap<CString, PinnedMap>> {
    let layout = if volume.user_namespace { Layout::Carrier } else { Layout::Pins };
    same_volume(mounted, &volume.id, layout, volume.gid, place)?;
    let files = mounted.files()?;
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
        None => Ok(files),
    }
}

fn same_maps(files: &BTreeMap<CString, PinnedMap>, volume: &Volume, maps: &[Map]) -> bool {
    volume
        .maps
        .iter()
        .zip(maps)
        .all(|(file, map)| files.get(&file.file).is_some_and(|is| is.map.info.id == map.info.id))
}
