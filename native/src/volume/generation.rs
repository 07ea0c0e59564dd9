//! Generations: complete trees of one volume, each mounted on the one before.

use std::os::fd::{AsFd, OwnedFd};

use super::identify::identify;
use super::observe::Mounted;
use crate::kubelet::{MOUNT, Place};
use crate::sys::mounts::Mounts;
use crate::sys::{Result, mount};

/// Puts a new generation over the old one, with a complete one at the target at every moment.
///
/// The first is covered. A later one takes the second's place: slid beneath it, then the second is taken away. A pod that
/// follows mounts is a slave of the first and would not see that one replaced. Where the kernel cannot slide beneath (before
/// Linux 6.5), the second is taken away first, and for a moment the first one is at the target: so there are never more
/// than two.
///
/// Taking a generation away parts it from the files that are mounted in it (`umount_tree` in the kernel's `fs/namespace.c`).
/// Who is in it at that moment, on the way to a writable map, may find the pin beneath: opening it for writing is `EROFS`
/// then, and succeeds when it is tried again.
///
/// # Errors
/// Whatever the mount calls say; an old one is there then.
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

/// How many generations there are of a volume.
///
/// # Errors
/// When the kernel does not say it.
pub fn count(mounted: &Mounted) -> Result<u32> {
    let (mounts, top) = Mounts::find(mounted.root.as_fd())?;
    let mut count = 1;
    let mut next = top.and_then(|top| mounts.beneath(&top));
    // A workspace has no generations, and none is kept where nobody may tell.
    while let Some(beneath) = next {
        if identify(&beneath, || Ok(Vec::new()))?.is_none() {
            break;
        }
        count += 1;
        next = mounts.beneath(&beneath);
    }
    Ok(count)
}
