//! Finds the maps pinned in a bpffs, whose owner may change it meanwhile.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::Result;
use crate::source::Map;
use crate::sys::bpf::{self, ObjectKind};
use crate::sys::path::{Entry, entries, open_entry, open_subdirectory, through_descriptor};
use crate::sys::{self, mount};

/// How far to search.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most levels of directories.
    pub depth: usize,
    /// The most directory entries, all together.
    pub entries: usize,
}

/// The limit that was reached, so that maps may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A directory lies deeper.
    Depth,
    /// There are more entries.
    Entries,
}

/// A map that is pinned in a volume or workspace.
#[derive(Debug)]
pub struct PinnedMap {
    /// The map.
    pub map: Map,
    /// Whether its superblock is writable, and so the map can be opened for writing.
    pub writable: bool,
}

/// Calls `visit` for all maps pinned beneath `root`, with their paths from there. Skips other pins, symbolic links, and
/// what is removed meanwhile.
///
/// # Errors
/// An unexpected kernel error, and those of `visit`.
pub fn walk(
    root: BorrowedFd<'_>,
    limits: Limits,
    visit: &mut dyn FnMut(CString, PinnedMap) -> Result<()>,
) -> Result<Option<Cut>> {
    let mut walk = Walk { depth: limits.depth, left: limits.entries, cut: None, visit };
    walk.directory(root, &[])?;
    Ok(walk.cut)
}

struct Walk<'a> {
    depth: usize,
    left: usize,
    cut: Option<Cut>,
    visit: &'a mut dyn FnMut(CString, PinnedMap) -> Result<()>,
}

impl Walk<'_> {
    fn directory(&mut self, place: BorrowedFd<'_>, path: &[&CStr]) -> Result<()> {
        let found = match entries(place, self.left.saturating_add(1)) {
            // The directory was removed after it was opened.
            Err(error) if error.errno == Errno::NOENT => return Ok(()),
            found => found?,
        };
        let within = found.len().min(self.left);
        if found.len() > within {
            self.cut = Some(Cut::Entries);
        }
        self.left -= within;
        // An entry renamed while its directory is read may be listed twice.
        let mut seen = HashSet::new();
        for Entry { name, kind } in &found[..within] {
            if !seen.insert(name) {
                continue;
            }
            let mut path = path.to_vec();
            path.push(name);
            match kind {
                FileType::Directory if path.len() > self.depth => self.cut = Some(Cut::Depth),
                FileType::Directory => {
                    if let Some(place) = open_subdirectory(place, name)? {
                        self.directory(place.as_fd(), &path)?;
                    }
                }
                FileType::RegularFile => self.file(place, name, &path)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, directory: BorrowedFd<'_>, name: &CStr, path: &[&CStr]) -> Result<()> {
        let Some(entry) = open_entry(directory, name)? else { return Ok(()) };
        if let Some(map) = open_map(entry.as_fd())? {
            let writable = !mount::file_system(entry.as_fd())?.read_only;
            (self.visit)(join(path), PinnedMap { map, writable })?;
        }
        Ok(())
    }
}

fn open_map(pin: BorrowedFd<'_>) -> Result<Option<Map>> {
    let fd = match bpf::open_pin(&through_descriptor(pin, c"")) {
        Ok(fd) => fd,
        // As in `source::pinned`: gone, the pin of a BPF link, or not a pin.
        Err(sys::Error { errno: Errno::NOENT | Errno::INVAL | Errno::ACCESS, .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if bpf::object_kind(fd.as_fd())? != ObjectKind::Map {
        return Ok(None);
    }
    let info = bpf::map_info(fd.as_fd())?;
    Ok(Some(Map { fd, info }))
}

fn join(path: &[&CStr]) -> CString {
    let elements: Vec<_> = path.iter().map(|name| name.to_bytes()).collect();
    CString::new(elements.join(&b'/')).unwrap_or_default()
}
