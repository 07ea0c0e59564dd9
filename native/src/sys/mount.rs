//! The new mount API: a filesystem is created detached, filled, and attached once complete.
//!
//! <https://man7.org/linux/man-pages/man2/fsopen.2.html>, <https://man7.org/linux/man-pages/man2/move_mount.2.html>

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use linux_raw_sys::general::{MS_PRIVATE, mount_attr};
use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::mountinfo::Kind;
use super::{Context, Result};

/// `nosuid,nodev,noexec`.
const CLOSED: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV).union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// A new detached filesystem, mounted `nosuid,nodev,noexec`; closing it frees it.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `ENODEV` if the kernel lacks the filesystem, `EINVAL` for an option.
pub fn detached(filesystem: &'static CStr, options: &[(&'static CStr, &CStr)]) -> Result<OwnedFd> {
    detached_with(CLOSED, filesystem, options)
}

/// As [`detached`], but without mount attributes: a pod's user namespace would lock them, and runc mounts volumes
/// without any.
///
/// # Errors
/// As [`detached`].
pub fn detached_unlocked(filesystem: &'static CStr, options: &[(&'static CStr, &CStr)]) -> Result<OwnedFd> {
    detached_with(MountAttrFlags::empty(), filesystem, options)
}

fn detached_with(
    attributes: MountAttrFlags,
    filesystem: &'static CStr,
    options: &[(&'static CStr, &CStr)],
) -> Result<OwnedFd> {
    let object = || filesystem.to_string_lossy().into_owned();
    let context = rustix::mount::fsopen(filesystem, FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen", object)?;
    create(context.as_fd(), attributes, filesystem, options)
}

/// As [`detached`], in a context that is opened already. What its type is cannot be seen: `filesystem` is for messages.
///
/// # Errors
/// As [`detached`].
pub fn detached_in(
    context: BorrowedFd<'_>,
    filesystem: &'static CStr,
    options: &[(&'static CStr, &CStr)],
) -> Result<OwnedFd> {
    create(context, CLOSED, filesystem, options)
}

fn create(
    context: BorrowedFd<'_>,
    attributes: MountAttrFlags,
    filesystem: &'static CStr,
    options: &[(&'static CStr, &CStr)],
) -> Result<OwnedFd> {
    let object = || filesystem.to_string_lossy().into_owned();
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(context, *key, *value)
            .context("fsconfig", || format!("{}={}", key.to_string_lossy(), value.to_string_lossy()))?;
    }
    rustix::mount::fsconfig_create(context).context("fsconfig(create)", object)?;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).context("fsmount", object)
}

/// The filesystem that a place is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its type.
    pub kind: Kind,
    /// Whether the mount or its superblock is read-only.
    pub read_only: bool,
}

/// The filesystem that `place` is on. Asks the filesystem: it hangs if that is remote and its server is gone.
///
/// # Errors
/// If `fstatfs(2)` fails.
pub fn file_system(place: BorrowedFd<'_>) -> Result<FileSystem> {
    rustix::fs::fstatfs(place).map(FileSystem::from).context("fstatfs", String::new)
}

impl From<rustix::fs::StatFs> for FileSystem {
    fn from(status: rustix::fs::StatFs) -> Self {
        // ST_RDONLY of statfs(2).
        const READ_ONLY: u64 = 1;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a magic number has 32 bits")]
        let magic = status.f_type as u32;
        #[expect(clippy::cast_sign_loss, reason = "bits")]
        let flags = status.f_flags as u64;
        Self { kind: Kind::of_magic(magic), read_only: flags & READ_ONLY != 0 }
    }
}

/// Makes the whole superblock read-only. Unlike a read-only mount, a container's remount cannot undo that.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `EBUSY` while something in it is open for writing.
pub fn make_superblock_read_only(mount: BorrowedFd<'_>) -> Result<()> {
    let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
    let context = rustix::mount::fspick(mount, c"", flags).context("fspick", String::new)?;
    rustix::mount::fsconfig_set_flag(context.as_fd(), c"ro").context("fsconfig(ro)", String::new)?;
    rustix::mount::fsconfig_reconfigure(context.as_fd()).context("fsconfig(reconfigure)", String::new)
}

/// A detached copy of the directory or mount at `name` in `directory`, or of `directory` itself for an empty name,
/// without the mounts below it.
///
/// # Errors
/// `EINVAL` if `directory` is in another mount namespace or, before Linux 6.15, in a detached tree.
pub fn clone(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open_tree(directory, name, OpenTreeFlags::OPEN_TREE_CLONE)
}

/// As [`clone`], with all mounts below.
///
/// # Errors
/// As [`clone`].
pub fn clone_tree(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open_tree(directory, name, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE)
}

/// As [`clone_tree`], for a tree that will be attached where others may unmount it.
///
/// A plain copy of a shared mount is its peer: unmounting something from the copy would unmount it from the original
/// and all other copies too. This copy is private.
///
/// # Errors
/// As [`clone`].
pub fn private_copy(tree: BorrowedFd<'_>) -> Result<OwnedFd> {
    let copy = clone_tree(tree, c"")?;
    make_private(copy.as_fd())?;
    Ok(copy)
}

/// As [`private_copy`], without the mounts below.
///
/// # Errors
/// As [`clone`].
pub fn private_root(mount: BorrowedFd<'_>) -> Result<OwnedFd> {
    let copy = clone(mount, c"")?;
    make_private(copy.as_fd())?;
    Ok(copy)
}

fn make_private(tree: BorrowedFd<'_>) -> Result<()> {
    let attributes = mount_attr { attr_set: 0, attr_clr: 0, propagation: MS_PRIVATE.into(), userns_fd: 0 };
    let flags = (AtFlags::EMPTY_PATH | AtFlags::from_bits_retain(libc::AT_RECURSIVE.cast_unsigned())).bits();
    // SAFETY: path and struct live through the call, and the struct has the size passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attributes),
            size_of::<mount_attr>(),
        )
    };
    match if result < 0 { Err(super::last_errno()) } else { Ok(()) } {
        // Before Linux 5.12. Such a kernel still accepts mount(2) on a detached mount.
        Err(Errno::NOSYS) => {
            let path = super::path::through_descriptor(tree, c"");
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change(path.as_c_str(), private).context("mount(private)", String::new)
        }
        changed => changed.context("mount_setattr(private)", String::new),
    }
}

fn open_tree(directory: BorrowedFd<'_>, name: &CStr, flags: OpenTreeFlags) -> Result<OwnedFd> {
    let flags = flags
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW
        | OpenTreeFlags::AT_NO_AUTOMOUNT;
    rustix::mount::open_tree(directory, name, flags).context("open_tree", || name.to_string_lossy().into_owned())
}

/// Attaches a detached tree on `name` in `directory`, or on `directory` itself for an empty name, over what is there.
///
/// # Errors
/// `EINVAL` if `directory` is not in this mount namespace or, before Linux 6.15, in a detached tree; `ENOSPC` beyond
/// `fs.mount-max`.
pub fn attach(tree: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", directory, name, flags)
        .context("move_mount", || name.to_string_lossy().into_owned())
}

/// Attaches a detached tree below the top mount at `mount` (Linux 6.5).
///
/// # Errors
/// `EINVAL` if `mount` is not the root of a mount, or on an older kernel.
pub fn attach_beneath(tree: BorrowedFd<'_>, mount: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
        | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH
        | MoveMountFlags::MOVE_MOUNT_BENEATH;
    rustix::mount::move_mount(tree, c"", mount, c"", flags).context("move_mount(beneath)", String::new)
}

/// Unmounts the top mount at `name` in `directory` lazily, with all mounts below it; open files stay usable.
///
/// # Errors
/// `EINVAL` if nothing is mounted there.
pub fn detach(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let path = super::path::through_descriptor(directory, name);
    rustix::mount::unmount(path.as_c_str(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .context("umount2", || name.to_string_lossy().into_owned())
}
