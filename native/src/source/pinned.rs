//! Maps that something else pinned.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::pin_root::mount_one;
use super::{Map, map};
use crate::error::{Error, Result};
use crate::sys::bpf::{self, ObjectKind};
use crate::sys::mount;
use crate::sys::mountinfo::Kind;
use crate::sys::path::{beneath, open_beneath, through_descriptor};
use crate::sys::{self, Context};

/// Opens the map pinned at `path`.
///
/// # Errors
/// [`Error::InvalidArgument`] outside the pin roots, [`Error::NotYet`] if nothing is pinned there, [`Error::Unusable`]
/// if it is not the pin of a map or the path has a symbolic link.
pub fn open(path: &Path, pin_roots: &[PathBuf]) -> Result<Map> {
    let shown = path.display();
    let Some((root, relative)) = pin_roots.iter().find_map(|root| Some((root, beneath(root, path)?))) else {
        let roots: Vec<_> = pin_roots.iter().map(|root| root.display().to_string()).collect();
        let roots = roots.join(", ");
        return Err(Error::InvalidArgument(format!(
            "{shown} is not beneath the allowed pin roots: {roots}; pin it there, or allow its directory with --pin-root of \
             the pinner (pinRoots of the chart)"
        )));
    };
    let absent = || {
        if is_on_bpffs(root, relative) {
            return format!("nothing is pinned at {shown} yet: start the program that pins it there");
        }
        let remedy = mount_one(root);
        format!("nothing can be pinned at {shown}: no bpf filesystem is mounted at {}; {remedy}", root.display())
    };
    map_at(open_beneath(root, relative), &shown.to_string(), absent)
}

/// Whether the deepest existing parent of the path is on a bpffs.
fn is_on_bpffs(root: &Path, relative: &Path) -> bool {
    let there = relative.ancestors().skip(1).find_map(|ancestor| open_beneath(root, ancestor).ok());
    let file_system = there.and_then(|place| mount::file_system(place.as_fd()).ok());
    file_system.is_some_and(|file_system| file_system.kind == Kind::Bpf)
}

/// Opens the map pinned at `place`; messages call it `shown`.
///
/// # Errors
/// [`Error::NotYet`] with the text `absent` if nothing is there, [`Error::Unusable`] if it is not the pin of a map or
/// the path has a symbolic link.
pub fn map_at(place: sys::Result<OwnedFd>, shown: &str, absent: impl Fn() -> String) -> Result<Map> {
    let place = place.map_err(|error| match error.errno {
        Errno::NOENT => Error::NotYet(absent()),
        Errno::LOOP => Error::Unusable(format!("{shown} has a symbolic link in it: name the pin itself")),
        Errno::NOTDIR => {
            Error::Unusable(format!("{shown} goes through something that is no directory: correct the path"))
        }
        _ => error.into(),
    })?;
    let fd = bpf::open_pin(&through_descriptor(place.as_fd(), c"")).or_else(|error| match error.errno {
        // Removed since the path was opened, perhaps to be replaced.
        Errno::NOENT => Err(Error::NotYet(absent())),
        // EINVAL: the pin of a BPF link, which cannot be opened read-only. EACCES: not a pin.
        Errno::INVAL | Errno::ACCESS => Err(Error::Unusable(no_pin(&place, shown)?)),
        _ => Err(error.into()),
    })?;
    match bpf::object_kind(fd.as_fd())? {
        ObjectKind::Map => map(fd),
        ObjectKind::Program => {
            let program = bpf::program_info(fd.as_fd())?;
            let (id, name) = (program.id, program.name);
            Err(Error::Unusable(format!(
                "{shown} is the pin of a program, {name:?} (id {id}), not of a map: name a map's"
            )))
        }
        ObjectKind::Other => Err(Error::Unusable(format!("{shown} is the pin of a link, not of a map: name a map's"))),
    }
}

/// What is there instead of a map's pin.
fn no_pin(place: &OwnedFd, shown: &str) -> Result<String> {
    if mount::file_system(place.as_fd())?.kind != Kind::Bpf {
        return Ok(format!(
            "{shown} is not on a bpf filesystem: mount one (mount -t bpf bpf DIRECTORY) before the program pins there"
        ));
    }
    let stat = rustix::fs::fstat(place).context("fstat", || shown.to_owned())?;
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Ok(format!("{shown} is a directory, not the pin of a map: name a pin in it"));
    }
    Ok(format!("{shown} is the pin of a link or of something else that is no map: name a map's"))
}
