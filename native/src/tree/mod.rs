//! What volumes and workspaces are made of: mounts that are put together while nobody sees them, and bear a name.

pub mod compose;

use std::ffi::CString;

/// How a mount's source begins that belongs to a volume; the volume's id follows.
const SOURCE_PREFIX: &str = "csi-bpffs:";

/// The source of a volume's mounts, as findmnt shows it.
#[must_use]
pub fn source(volume_id: &str) -> CString {
    CString::new(format!("{SOURCE_PREFIX}{volume_id}")).unwrap_or_default()
}

/// The id of the volume that a mount's source says it belongs to.
#[must_use]
pub fn volume_id(source: &str) -> Option<&str> {
    source.strip_prefix(SOURCE_PREFIX)
}
