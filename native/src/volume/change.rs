//! How a generation differs from the one before.

use std::collections::BTreeMap;
use std::ffi::CString;

use super::walk::PinnedMap;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Another map is behind the name.
    MapReplaced,
    /// It was not there.
    Added,
    /// It is there no more.
    Removed,
    /// The same map, and now it can be written.
    MadeWritable,
    /// The same map, and now it can only be read.
    MadeReadOnly,
}

/// A file that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the volume's directory.
    pub path: CString,
    /// How it differs.
    pub kind: Kind,
}

/// What a file is to be: its path, the id of its map, and whether it can be written.
pub type Wanted<'a> = (&'a CString, u32, bool);

/// Holds the files that are there against those that are to be.
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
