//! The other volumes of the same pod, and the one thing that no two of them may be together: a workspace, and a map to
//! read. Who can read a map can pin it anew in a directory that he may write to, and open the new pin for writing.
//!
//! The kubelet keeps all volumes of a pod that a driver published side by side, as `<directory>/<volume>/mount`. Nothing is
//! asked here of a filesystem that is not ours: its server may be gone.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxAttributes, StatxFlags};

use super::observe::{Found, Layout, Mounted, observe};
use super::whose::{may_have_maps, workspace_id};
use crate::error::{Error, Result};
use crate::kubelet::{MOUNT, Place};
use crate::store::{Device, Store};
use crate::sys::Context;
use crate::sys::path::{entries, open_entry, open_subdirectory};
use crate::text::list;

/// Refuses read-only maps at `place` beside a workspace.
///
/// # Errors
/// [`Error::Unusable`] naming the workspace.
pub fn no_workspace_beside(place: &Place, store: &Store, maps: &[String]) -> Result<()> {
    let workspace = find(place, |sibling| {
        Ok(workspace_id(sibling.root.as_fd(), sibling.device, store)?.map(|id| (id, sibling.place.path.clone())))
    })?;
    let Some((id, path)) = workspace else { return Ok(()) };
    let (maps, path) = (list(maps), path.display());
    Err(Error::Unusable(format!(
        "this pod has the workspace {id:?} ({path}), in which it could pin a read-only map anew and then write to it; ask \
         for all maps of this volume with :rw (now read-only: {maps}), or put workspace and maps into two pods"
    )))
}

/// Refuses a workspace at `place` beside a volume with a read-only map.
///
/// # Errors
/// [`Error::Unusable`] naming volume and map.
pub fn no_read_only_map_beside(place: &Place, store: &Store) -> Result<()> {
    let read_only = find(place, |sibling| {
        if !may_have_maps(sibling.root.as_fd())? {
            return Ok(None);
        }
        let Found::Volume(mounted @ Mounted { layout: Layout::Pins | Layout::Carrier, .. }) =
            observe(&sibling.place, store)?
        else {
            return Ok(None);
        };
        let file = mounted.files()?.into_iter().find(|(_, file)| !file.writable);
        Ok(file.map(|(file, _)| (file, mounted.volume_id, sibling.place.path.clone())))
    })?;
    let Some((file, id, path)) = read_only else { return Ok(()) };
    let (id, path) = (id.map(|id| format!("{id:?} ")).unwrap_or_default(), path.display());
    Err(Error::Unusable(format!(
        "this pod has the volume {id}({path}) with the read-only map {file:?}, which it could pin anew in this workspace \
         and then write to; ask for that volume's maps with :rw, or put workspace and maps into two pods"
    )))
}

/// Another volume of the pod, perhaps of another driver.
struct Sibling {
    place: Place,
    /// What is mounted there.
    root: OwnedFd,
    device: Device,
}

fn find<T>(place: &Place, look: impl Fn(&Sibling) -> Result<Option<T>>) -> Result<Option<T>> {
    let Some(pod_path) = place.path.ancestors().nth(2) else { return Ok(None) };
    let own = place.path.parent().and_then(Path::file_name).unwrap_or_default();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let pod = rustix::fs::openat(&place.parent, c"..", flags, Mode::empty())
        .call("openat", || pod_path.display().to_string())?;
    for entry in entries(pod.as_fd(), usize::MAX)? {
        // Some filesystems do not say in a directory what is in it.
        let may_be_directory = matches!(entry.kind, FileType::Directory | FileType::Unknown);
        if !may_be_directory || entry.name.as_bytes() == own.as_bytes() {
            continue;
        }
        let Some(parent) = open_subdirectory(pod.as_fd(), &entry.name)? else { continue };
        let path = pod_path.join(OsStr::from_bytes(entry.name.as_bytes())).join("mount");
        if let Some(sibling) = mounted_at(Place { parent, path })?
            && let Some(found) = look(&sibling)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What is mounted on a directory; `None` when nothing is that may be ours.
fn mounted_at(place: Place) -> Result<Option<Sibling>> {
    let Some(root) = open_entry(place.parent.as_fd(), MOUNT)? else { return Ok(None) };
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat =
        rustix::fs::statx(&root, c"", flags, StatxFlags::TYPE).call("statx", || place.path.display().to_string())?;
    let is_directory = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
    let is_mount = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    let device = (stat.stx_dev_major, stat.stx_dev_minor);
    // Neither a bpffs nor a tmpfs is on a block device.
    Ok((is_directory && is_mount && device.0 == 0).then_some(Sibling { place, root, device }))
}
