//! The pod's other volumes: the kubelet puts them side by side, as `<directory>/<volume>/mount`.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::observe::{Found, Mounted, observe};
use crate::error::Result;
use crate::kubelet::Place;
use crate::store::Store;
use crate::sys::Context;
use crate::sys::path::{entries, open_subdirectory};

/// The directory that has all of a pod's volumes.
pub fn directory(place: &Place) -> &Path {
    // Every target has it; see [`crate::kubelet`].
    place.path.ancestors().nth(2).unwrap_or(&place.path)
}

/// Calls `look` for the pod's other volumes of this driver until it returns something.
///
/// # Errors
/// Any kernel error, and those of `look`.
pub fn find<T>(place: &Place, store: &Store, look: impl Fn(&Mounted, &Path) -> Result<Option<T>>) -> Result<Option<T>> {
    let pod_path = directory(place);
    let own = place.path.parent().and_then(Path::file_name).unwrap_or_default();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let pod = rustix::fs::openat(&place.parent, c"..", flags, Mode::empty())
        .context("openat", || pod_path.display().to_string())?;
    for entry in entries(pod.as_fd(), usize::MAX)? {
        // Some filesystems do not give the type of a directory's entries.
        let may_be_directory = matches!(entry.kind, FileType::Directory | FileType::Unknown);
        if !may_be_directory || entry.name.as_bytes() == own.as_bytes() {
            continue;
        }
        let Some(parent) = open_subdirectory(pod.as_fd(), &entry.name)? else { continue };
        let path = pod_path.join(OsStr::from_bytes(entry.name.as_bytes())).join("mount");
        let sibling = Place { parent, path };
        if let Found::Volume(mounted) = observe(&sibling, None, store)?
            && let Some(found) = look(&mounted, &sibling.path)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
