//! Whose a mount is. Nothing here asks the mounted filesystem, which may be another driver's and its server gone.

use std::os::fd::BorrowedFd;

use super::{SOURCE_PREFIX, table};
use crate::store::{Device, Store};
use crate::sys::mount::{BPF_MAGIC, TMPFS_MAGIC};
use crate::sys::{Result, statmount};

/// The workspace that this mount is the root of, kept or released since; `None`: it is no workspace.
///
/// Three proofs: the mount's source (Linux 6.13); that a workspace is kept on the same filesystem; the source by the mount
/// table (Linux 5.17), which is read only where the first two say nothing.
///
/// # Errors
/// When the store or `/proc` cannot be read.
pub fn workspace_id(mount: BorrowedFd<'_>, device: Device, store: &Store) -> Result<Option<String>> {
    if let Ok(status) = statmount::status(mount) {
        if status.magic != BPF_MAGIC || status.superblock_read_only {
            return Ok(None);
        }
        if let Some(source) = status.source {
            return Ok(source.strip_prefix(SOURCE_PREFIX).map(str::to_owned));
        }
    }
    if let Some((_, id)) = store.workspaces()?.into_iter().find(|(kept, _)| *kept == device) {
        return Ok(Some(id));
    }
    let rows = table::read()?;
    let row = table::find(&rows, mount)?.filter(|row| row.file_system == "bpf" && !row.is_read_only);
    Ok(row.and_then(|row| row.volume_id().map(str::to_owned)))
}

/// Whether this mount may be the root of a volume with maps, and so may be asked more.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn may_have_maps(mount: BorrowedFd<'_>) -> Result<bool> {
    let is_ours = |source: Option<&str>| source.is_none_or(|source| source.starts_with(SOURCE_PREFIX));
    if let Ok(status) = statmount::status(mount) {
        let is_kind = matches!(status.magic, BPF_MAGIC | TMPFS_MAGIC);
        return Ok(is_kind && status.superblock_read_only && is_ours(status.source.as_deref()));
    }
    Ok(table::find(&table::read()?, mount)?.is_some_and(|row| {
        matches!(row.file_system.as_str(), "bpf" | "tmpfs") && row.is_read_only && is_ours(row.source.as_deref())
    }))
}
