//! The new mount API: a filesystem is made detached, filled, and attached when it is complete.
//!
//! <https://man7.org/linux/man-pages/man2/fsopen.2.html>, <https://man7.org/linux/man-pages/man2/move_mount.2.html>

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use super::{Context, Result};

/// `f_type` of a bpffs (`BPF_FS_MAGIC`).
pub const BPF_MAGIC: u32 = 0xcafe_4a11;
/// `f_type` of a tmpfs (`TMPFS_MAGIC`).
pub const TMPFS_MAGIC: u32 = 0x0102_1994;

/// A new filesystem, mounted nowhere; closing it frees it.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `ENODEV` where the kernel lacks the filesystem, `EINVAL` for an option.
pub fn detached(filesystem: &'static CStr, options: &[(&'static CStr, &CStr)]) -> Result<OwnedFd> {
    let object = || filesystem.to_string_lossy().into_owned();
    let context = rustix::mount::fsopen(filesystem, FsOpenFlags::FSOPEN_CLOEXEC).call("fsopen", object)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(context.as_fd(), *key, *value)
            .call("fsconfig", || format!("{}={}", key.to_string_lossy(), value.to_string_lossy()))?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).call("fsconfig(create)", object)?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).call("fsmount", object)
}

/// What a place is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// `f_type`: its magic number.
    pub magic: u32,
    /// Whether the mount or its whole superblock is read-only.
    pub read_only: bool,
}

/// What filesystem `place` is on.
///
/// # Errors
/// Whatever `fstatfs(2)` says.
pub fn file_system(place: BorrowedFd<'_>) -> Result<FileSystem> {
    rustix::fs::fstatfs(place).map(FileSystem::from).call("fstatfs", String::new)
}

/// As [`file_system`], of the place at `path`.
///
/// # Errors
/// Whatever `statfs(2)` says.
pub fn file_system_at(path: &CStr) -> Result<FileSystem> {
    rustix::fs::statfs(path).map(FileSystem::from).call("statfs", || path.to_string_lossy().into_owned())
}

impl From<rustix::fs::StatFs> for FileSystem {
    fn from(status: rustix::fs::StatFs) -> Self {
        // ST_RDONLY of statfs(2).
        const READ_ONLY: u64 = 1;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a magic number has 32 bits")]
        let magic = status.f_type as u32;
        #[expect(clippy::cast_sign_loss, reason = "bits")]
        let flags = status.f_flags as u64;
        Self { magic, read_only: flags & READ_ONLY != 0 }
    }
}

/// Makes the whole superblock read-only, which unlike a read-only mount no remount by a container can undo.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `EBUSY` while something in it is open for writing.
pub fn make_superblock_read_only(mount: BorrowedFd<'_>) -> Result<()> {
    let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
    let context = rustix::mount::fspick(mount, c"", flags).call("fspick", String::new)?;
    rustix::mount::fsconfig_set_flag(context.as_fd(), c"ro").call("fsconfig(ro)", String::new)?;
    rustix::mount::fsconfig_reconfigure(context.as_fd()).call("fsconfig(reconfigure)", String::new)
}

/// A detached copy of the mount at `name` in `directory` (of `directory` itself for an empty name), without what is
/// mounted beneath it.
///
/// # Errors
/// `EINVAL` where `directory` is in another mount namespace or, before Linux 6.15, in a detached tree.
pub fn clone(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open_tree(directory, name, OpenTreeFlags::OPEN_TREE_CLONE)
}

/// As [`clone`], with all that is mounted beneath.
///
/// # Errors
/// As [`clone`].
pub fn clone_tree(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open_tree(directory, name, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE)
}

fn open_tree(directory: BorrowedFd<'_>, name: &CStr, flags: OpenTreeFlags) -> Result<OwnedFd> {
    let flags = flags
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW
        | OpenTreeFlags::AT_NO_AUTOMOUNT;
    rustix::mount::open_tree(directory, name, flags).call("open_tree", || name.to_string_lossy().into_owned())
}

/// Mounts a detached tree on `name` in `directory` (on `directory` itself for an empty name), over whatever is there.
///
/// # Errors
/// `EINVAL` where `directory` is not in this mount namespace or, before Linux 6.15, in a detached tree; `ENOSPC` beyond
/// `fs.mount-max`.
pub fn attach(tree: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", directory, name, flags)
        .call("move_mount", || name.to_string_lossy().into_owned())
}

/// Mounts a detached tree between the top mount at `mount` and what that one covers (Linux 6.5).
///
/// # Errors
/// `EINVAL` where `mount` is no mount's root, or the kernel is older.
pub fn attach_beneath(tree: BorrowedFd<'_>, mount: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
        | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH
        | MoveMountFlags::MOVE_MOUNT_BENEATH;
    rustix::mount::move_mount(tree, c"", mount, c"", flags).call("move_mount(beneath)", String::new)
}

/// Takes the top mount at `name` in `directory` away, with all beneath it; users of open files keep them.
///
/// # Errors
/// `EINVAL` where nothing is mounted there.
pub fn detach(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let path = super::path::through_descriptor(directory, name);
    rustix::mount::unmount(path.as_c_str(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .call("umount2", || name.to_string_lossy().into_owned())
}

/// What `statmount(2)` says of a mount.
#[derive(Debug)]
pub struct MountStatus {
    /// The mount that this one is mounted on, as [`status_by_id`] takes it.
    pub parent: u64,
    /// What filesystem it is of, by its magic number.
    pub magic: u32,
    /// Whether its superblock is read-only.
    pub superblock_read_only: bool,
    /// Where it says it comes from: the option `source`. `None` before Linux 6.13.
    pub source: Option<String>,
}

/// Looks at one mount, at a cost that does not depend on how many there are (Linux 6.8).
///
/// # Errors
/// `ENOSYS` or `EINVAL` on older kernels.
pub fn status(mount: BorrowedFd<'_>) -> Result<MountStatus> {
    status_by_id(unique_id(mount)?)
}

fn unique_id(mount: BorrowedFd<'_>) -> Result<u64> {
    // STATX_MNT_ID_UNIQUE, Linux 6.8: ids that are never used again.
    let wanted = StatxFlags::from_bits_retain(0x4000);
    let found = rustix::fs::statx(mount, c"", AtFlags::EMPTY_PATH, wanted).call("statx(mnt_id)", String::new)?;
    if found.stx_mask & wanted.bits() == 0 {
        Err(Errno::NOSYS).call("statx(mnt_id)", String::new)
    } else {
        Ok(found.stx_mnt_id)
    }
}

/// As [`status`], by the id that a [`MountStatus`] gave.
///
/// # Errors
/// As [`status`]; `ENOENT` when there is no such mount in this mount namespace.
pub fn status_by_id(id: u64) -> Result<MountStatus> {
    // include/uapi/linux/mount.h: struct mnt_id_req, and of struct statmount the fields up to sb_source.
    const SYS_STATMOUNT: libc::c_long = 457;
    const STATMOUNT_SB_BASIC: u64 = 0x1;
    const STATMOUNT_MNT_BASIC: u64 = 0x2;
    const STATMOUNT_SB_SOURCE: u64 = 0x200;
    const REQUIRED: u64 = STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC;
    const SB_RDONLY: u32 = 0x1;
    const STRINGS: usize = 512;
    #[repr(C)]
    struct Request {
        size: u32,
        spare: u32,
        id: u64,
        param: u64,
    }
    #[repr(C, align(8))]
    struct Reply([u8; STRINGS + 512]);
    let word = |reply: &Reply, at: usize| u32::from_ne_bytes(std::array::from_fn(|i| reply.0[at + i]));
    let long = |reply: &Reply, at: usize| u64::from_ne_bytes(std::array::from_fn(|i| reply.0[at + i]));

    let request = Request { size: 24, spare: 0, id, param: REQUIRED | STATMOUNT_SB_SOURCE };
    let mut reply = Reply([0; STRINGS + 512]);
    // SAFETY: both structs live through the call and have the sizes that it is told.
    let result = unsafe {
        libc::syscall(
            SYS_STATMOUNT,
            std::ptr::from_ref(&request),
            std::ptr::from_mut(&mut reply),
            size_of::<Reply>(),
            0,
        )
    };
    if result < 0 {
        return Err(super::last_errno()).call("statmount", || id.to_string());
    }
    // A kernel leaves out what it does not know.
    let known = long(&reply, 8);
    if known & REQUIRED != REQUIRED {
        return Err(Errno::NOSYS).call("statmount", || id.to_string());
    }
    let source = (known & STATMOUNT_SB_SOURCE != 0).then(|| {
        let source = reply.0.get(STRINGS + word(&reply, 124) as usize..).unwrap_or_default();
        CStr::from_bytes_until_nul(source).unwrap_or_default().to_string_lossy().into_owned()
    });
    Ok(MountStatus {
        parent: long(&reply, 48),
        #[expect(clippy::cast_possible_truncation, reason = "a magic number has 32 bits")]
        magic: long(&reply, 24) as u32,
        superblock_read_only: word(&reply, 32) & SB_RDONLY != 0,
        source,
    })
}
