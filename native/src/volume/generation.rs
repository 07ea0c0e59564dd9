//! Generations: complete trees of one volume, each mounted over the one before.

use std::os::fd::{AsFd, OwnedFd};

use super::identify::identify;
use super::observe::Mounted;
use crate::kubelet::{MOUNT, Place};
use crate::sys::mounts::Mounts;
use crate::sys::{Result, mount};

/// Mounts a new generation over the old one. There is a complete one at the target at every moment, and never more than
/// two afterwards.
///
/// The second generation covers the first. A later one replaces the second: it is mounted beneath it, then the second
/// is unmounted. The first stays because a pod that follows mounts is a slave of it and would not see it replaced.
/// Before Linux 6.5 the kernel cannot mount beneath: the second is unmounted first, and for a moment the first is
/// visible.
///
/// Unmounting a generation also unmounts the files in it (`umount_tree` in the kernel's `fs/namespace.c`). A process
/// that is just opening a writable map may reach the pin below instead and get `EROFS`; a retry succeeds.
///
/// # Errors
/// If a mount call fails; an old generation is visible then.
pub fn swap(tree: &OwnedFd, mounted: &Mounted, place: &Place) -> Result<()> {
    let detach = || mount::detach(place.parent.as_fd(), MOUNT);
    if count(mounted)? > 1 {
        if mount::attach_beneath(tree.as_fd(), mounted.root.as_fd()).is_ok() {
            return detach();
        }
        detach()?;
    }
    mount::attach(tree.as_fd(), place.parent.as_fd(), MOUNT)
}

/// How many generations of a volume are mounted.
///
/// # Errors
/// If the kernel does not tell.
pub fn count(mounted: &Mounted) -> Result<u32> {
    let (mounts, top) = Mounts::find(mounted.root.as_fd())?;
    let mut count = 1;
    let mut next = top.and_then(|top| mounts.beneath(&top));
    // No workspaces are needed here: a workspace never has generations.
    while let Some(beneath) = next {
        if identify(&beneath, || Ok(Vec::new()))?.is_none() {
            break;
        }
        count += 1;
        next = mounts.beneath(&beneath);
    }
    Ok(count)
}
