//! The differences between two generations of a volume.

use std::collections::BTreeMap;
use std::ffi::CString;

use super::walk::PinnedMap;

/// How a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name now has another map.
    MapReplaced,
    /// The file is new.
    Added,
    /// The file is gone.
    Removed,
    /// The same map, now writable.
    MadeWritable,
    /// The same map, now read-only.
    MadeReadOnly,
}

/// A file that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the volume's directory.
    pub path: CString,
    /// How it changed.
    pub kind: Kind,
}

/// A wanted file: its path, its map's id, and whether it is writable.
pub type Wanted<'a> = (&'a CString, u32, bool);

/// Compares the files of a mounted volume with the wanted ones.
pub fn changes<'a>(there: &BTreeMap<CString, PinnedMap>, wanted: impl Iterator<Item = Wanted<'a>>) -> Vec<Change> {
    let mut gone: Vec<_> = there.keys().collect();
    let mut changes = Vec::new();
    for (path, id, writable) in wanted {
        gone.retain(|known| *known != path);
        let kind = match there.get(path) {
            None => Kind::Added,
            Some(file) if file.map.info.id != id => Kind::MapReplaced,
            Some(file) if writable && !file.writable => Kind::MadeWritable,
            Some(file) if !writable && file.writable => Kind::MadeReadOnly,
            Some(_) => continue,
        };
        changes.push(Change { path: path.clone(), kind });
    }
    changes.extend(gone.into_iter().map(|path| Change { path: path.clone(), kind: Kind::Removed }));
    changes
}
