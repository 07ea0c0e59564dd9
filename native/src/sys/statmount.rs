//! `statmount(2)` describes one mount, at a cost that does not grow with the mount table.
//!
//! <https://man7.org/linux/man-pages/man2/statmount.2.html>

use std::ffi::CStr;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::BorrowedFd;

use linux_raw_sys::general::{
    __NR_statmount, STATMOUNT_MNT_BASIC, STATMOUNT_SB_BASIC, STATMOUNT_SB_SOURCE, STATX_MNT_ID_UNIQUE, mnt_id_req,
    statmount,
};
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::mountinfo::{Kind, Mount};
use super::{Context, Result};

/// Describes the mount that `mount` is on (Linux 6.8). Its source is `None` before Linux 6.13.
///
/// # Errors
/// `ENOSYS` or `EINVAL` on older kernels.
pub fn status(mount: BorrowedFd<'_>) -> Result<Mount> {
    status_by_id(unique_id(mount)?)
}

fn unique_id(mount: BorrowedFd<'_>) -> Result<u64> {
    // Since Linux 6.8: ids that are never reused.
    let wanted = StatxFlags::from_bits_retain(STATX_MNT_ID_UNIQUE);
    // Without AT_STATX_DONT_SYNC some filesystems ask their server, which may be gone.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(mount, c"", flags, wanted).context("statx(mnt_id)", String::new)?;
    if found.stx_mask & wanted.bits() == 0 {
        Err(Errno::NOSYS).context("statx(mnt_id)", String::new)
    } else {
        Ok(found.stx_mnt_id)
    }
}

/// As [`status`], by the id or parent id of a [`Mount`] that came from there.
///
/// # Errors
/// As [`status`]; `ENOENT` if there is no such mount in this mount namespace.
pub fn status_by_id(id: u64) -> Result<Mount> {
    const REQUIRED: u64 = (STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC) as u64;
    const SOURCE: u64 = STATMOUNT_SB_SOURCE as u64;
    const SB_RDONLY: u32 = 0x1;
    /// The struct's fields have the offsets of its strings, which follow it.
    #[repr(C)]
    struct Reply {
        head: statmount,
        strings: [u8; 512],
    }
    let call = || id.to_string();

    // The first version of the struct, which every kernel with this call knows.
    let size = offset_of!(mnt_id_req, mnt_ns_id);
    let size = u32::try_from(size).unwrap_or_default();
    let request = mnt_id_req { size, spare: 0, mnt_id: id, param: REQUIRED | SOURCE, mnt_ns_id: 0 };
    // SAFETY: all fields are integers, for which zero is a valid value.
    let mut reply: Reply = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: both structs live through the call and have the sizes passed.
    let result = unsafe {
        libc::syscall(
            libc::c_long::from(__NR_statmount),
            std::ptr::from_ref(&request),
            std::ptr::from_mut(&mut reply),
            size_of::<Reply>(),
            0,
        )
    };
    if result < 0 {
        return Err(super::last_errno()).context("statmount", call);
    }
    let Reply { head, strings } = reply;
    // The kernel leaves out what it does not support.
    if head.mask & REQUIRED != REQUIRED {
        return Err(Errno::NOSYS).context("statmount", call);
    }
    let source = (head.mask & SOURCE != 0).then(|| {
        let source = strings.get(head.sb_source as usize..).unwrap_or_default();
        CStr::from_bytes_until_nul(source).unwrap_or_default().to_string_lossy().into_owned()
    });
    Ok(Mount {
        id,
        parent: head.mnt_parent_id,
        device: (head.sb_dev_major, head.sb_dev_minor),
        #[expect(clippy::cast_possible_truncation, reason = "a magic number has 32 bits")]
        kind: Kind::of_magic(head.sb_magic as u32),
        is_read_only: head.sb_flags & SB_RDONLY != 0,
        source,
    })
}
