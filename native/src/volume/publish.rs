//! Publishing: observe, resolve, build, attach.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::build::{File, Plan, build};
use super::compose::Composer;
use super::observe::{Mounted, MountedFile};
use super::{Found, Modes, SOURCE_PREFIX, observe, source};
use crate::error::{Error, Result};
use crate::request::{Volume, VolumeMap};
use crate::source::{IfAbsent, Map, Sources};
use crate::sys::path::{Place, entries};
use crate::sys::{Context, mount};

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
}

impl Publisher {
    /// Makes the volume at its target unless it is there just so.
    ///
    /// `is_cancelled` is asked before each costly step and last before the volume is attached.
    ///
    /// # Errors
    /// As the API's `PublishVolume`.
    pub fn publish(&self, volume: &Volume, is_cancelled: &dyn Fn() -> bool) -> Result<Outcome> {
        let proceed = || if is_cancelled() { Err(Error::Cancelled) } else { Ok(()) };
        let place = open_place(self, volume)?;
        let found = observe(&place)?;
        let mounted = match &found {
            Found::Nothing => None,
            Found::Directory(directory) if entries(directory.as_fd())?.is_empty() => None,
            Found::Directory(_) => return Err(occupied(&place, "a directory that is not empty")),
            Found::Foreign(what) => return Err(occupied(&place, what)),
            Found::Volume(mounted) => Some((mounted, same_request(mounted, volume, &place)?)),
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
        proceed()?;
        match mounted {
            Some((mounted, _)) => swap(&tree, mounted, &place).map(|()| Outcome::Replaced),
            None => attach(&tree, &place, matches!(found, Found::Nothing)).map(|()| Outcome::Created),
        }
    }

    /// Created maps come last, so that none is made for a volume that fails for another map.
    fn resolve(&self, wanted: &[VolumeMap]) -> Result<Vec<Map>> {
        let is_created = |map: &VolumeMap| matches!(map.source, crate::request::Source::Created(_));
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
            .map(|(file, map)| File { name: &file.file, map: map.fd.as_fd(), writable: file.writable })
            .collect();
        let plan =
            Plan { source: &source(&volume.id), files: &files, gid: volume.gid, user_namespace: volume.user_namespace };
        Ok(build(&plan, &self.composer)?)
    }
}

fn open_place(publisher: &Publisher, volume: &Volume) -> Result<Place> {
    let target = volume.target.display();
    Place::open(&publisher.kubelet_directory, &volume.target).map_err(|error| match error.errno {
        Errno::LOOP => Error::InvalidArgument(format!("target_path: {target} has a symbolic link in it")),
        Errno::NOENT | Errno::NOTDIR => {
            Error::InvalidArgument(format!("target_path: the parent directory of {target} does not exist"))
        }
        _ => error.into(),
    })
}

fn occupied(place: &Place, what: &str) -> Error {
    Error::Occupied(format!("{} is {what}; it is left as it is", place.path.display()))
}

/// Holds a mounted volume against what is asked, the maps' identity left aside.
fn same_request(mounted: &Mounted, volume: &Volume, place: &Place) -> Result<BTreeMap<CString, MountedFile>> {
    let target = place.path.display();
    let differs = |how: String| Err(Error::Occupied(format!("{target} was published before with {how}")));
    if !mounted.is(&volume.id) {
        let other = mounted.volume_id.as_deref().unwrap_or_default();
        return Err(Error::Occupied(format!("{target} holds another volume, {other}")));
    }
    if mounted.user_namespace != volume.user_namespace {
        return differs(format!("user_namespace {}", mounted.user_namespace));
    }
    let group = |gid: u32, mode: u32| if mode & 0o005 == 0 { gid.to_string() } else { "none".to_owned() };
    let modes = Modes::new(volume.gid, volume.user_namespace);
    let asked = (volume.gid.unwrap_or(0), modes.directory.bits());
    if (mounted.gid, mounted.mode) != asked {
        let (is, asked) = (group(mounted.gid, mounted.mode), group(asked.0, asked.1));
        return differs(format!("group {is}, now asked for group {asked}"));
    }
    let files = mounted.files()?;
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

fn same_maps(files: &BTreeMap<CString, MountedFile>, volume: &Volume, maps: &[Map]) -> bool {
    volume
        .maps
        .iter()
        .zip(maps)
        .all(|(file, map)| files.get(&file.file).is_some_and(|is| is.map.info.id == map.info.id))
}

/// Puts a complete tree where nothing is mounted; a directory that was made for it goes again when that fails.
fn attach(tree: &OwnedFd, place: &Place, absent: bool) -> Result<()> {
    let name: &CStr = &place.name;
    if absent {
        let mode = Mode::from_raw_mode(0o750);
        rustix::fs::mkdirat(&place.parent, name, mode).call("mkdir", || place.path.display().to_string())?;
    }
    let attached = mount::attach(tree.as_fd(), place.parent.as_fd(), name);
    if attached.is_err() && absent {
        let _ = rustix::fs::unlinkat(&place.parent, name, rustix::fs::AtFlags::REMOVEDIR);
    }
    Ok(attached?)
}

/// Puts a new generation over the old one, with a complete one at the target at every moment.
///
/// The first is covered. A later one takes the second's place: slid beneath it, then the second is taken away. A pod that
/// follows mounts is a slave of the first and would not see that one replaced. Where the kernel cannot say whether there
/// is a second, or cannot slide beneath, generations pile up until unpublish.
fn swap(tree: &OwnedFd, mounted: &Mounted, place: &Place) -> Result<()> {
    if is_covering(mounted) && mount::attach_beneath(tree.as_fd(), mounted.root.as_fd()).is_ok() {
        return Ok(mount::detach(place.parent.as_fd(), &place.name)?);
    }
    Ok(mount::attach(tree.as_fd(), place.parent.as_fd(), &place.name)?)
}

/// Whether the volume at the top is mounted on another generation of itself; where the kernel tells no source, on what
/// looks like one.
fn is_covering(mounted: &Mounted) -> bool {
    let Ok(top) = mount::status(mounted.root.as_fd()) else { return false };
    mount::status_by_id(top.parent).is_ok_and(|parent| match parent.source {
        Some(source) => source.starts_with(SOURCE_PREFIX),
        None => parent.magic == top.magic && parent.superblock_read_only,
    })
}
