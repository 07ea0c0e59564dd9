//! Generations: complete trees of one volume, each mounted on the one before.

use std::os::fd::{AsFd, OwnedFd};

use super::observe::Mounted;
use super::{SOURCE_PREFIX, list, table};
use crate::kubelet::{MOUNT, Place};
use crate::sys::statmount::{self, MountStatus};
use crate::sys::{Result, mount};

/// Puts a new generation over the old one, with a complete one at the target at every moment.
///
/// The first is covered. A later one takes the second's place: slid beneath it, then the second is taken away. A pod that
/// follows mounts is a slave of the first and would not see that one replaced. Where the kernel cannot say whether there
/// is a second, or cannot slide beneath, generations pile up until unpublish.
///
/// # Errors
/// Whatever the mount calls say; the old one is there then.
pub fn swap(tree: &OwnedFd, mounted: &Mounted, place: &Place) -> Result<()> {
    let is_covering = covered(mounted).is_some_and(|covered| covered > 0);
    if is_covering && mount::attach_beneath(tree.as_fd(), mounted.root.as_fd()).is_ok() {
        return mount::detach(place.parent.as_fd(), MOUNT);
    }
    mount::attach(tree.as_fd(), place.parent.as_fd(), MOUNT)
}

/// How many generations there are of a volume, from the whole mount table on kernels that say it no other way.
///
/// # Errors
/// When `/proc` is not there.
pub fn count(mounted: &Mounted) -> Result<u32> {
    if let Some(covered) = covered(mounted) {
        return Ok(covered + 1);
    }
    let rows = table::read()?;
    let mut count = 0;
    let mut next = table::find(&rows, mounted.root.as_fd())?;
    while let Some(row) = next.filter(|row| list::volume_id(row, &[]).is_some()) {
        count += 1;
        next = rows.iter().find(|beneath| beneath.id == row.parent);
    }
    Ok(count.max(1))
}

/// How many generations the volume at the top is mounted on; `None` before Linux 6.8. Where the kernel tells no source, what
/// looks like one counts.
fn covered(mounted: &Mounted) -> Option<u32> {
    let top = statmount::status(mounted.root.as_fd()).ok()?;
    let is_generation = |beneath: &MountStatus| match &beneath.source {
        Some(source) => source.starts_with(SOURCE_PREFIX),
        None => beneath.magic == top.magic && beneath.superblock_read_only == top.superblock_read_only,
    };
    let mut covered = 0;
    let mut next = statmount::status_by_id(top.parent);
    while let Some(beneath) = next.ok().filter(is_generation) {
        covered += 1;
        next = statmount::status_by_id(beneath.parent);
    }
    Some(covered)
}
