//! `statmount(2)`: what the kernel says of one mount, at a cost that does not depend on how many there are.
//!
//! <https://man7.org/linux/man-pages/man2/statmount.2.html>

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::mountinfo::{Kind, Mount};
use super::{Context, Result};

/// Looks at one mount, at a cost that does not depend on how many there are (Linux 6.8). Where it comes from is `None` before
/// Linux 6.13.
///
/// # Errors
/// `ENOSYS` or `EINVAL` on older kernels.
pub fn status(mount: BorrowedFd<'_>) -> Result<Mount> {
    status_by_id(unique_id(mount)?)
}

fn unique_id(mount: BorrowedFd<'_>) -> Result<u64> {
    // STATX_MNT_ID_UNIQUE, Linux 6.8: ids that are never used again.
    let wanted = StatxFlags::from_bits_retain(0x4000);
    // Without the last flag some filesystems ask their server, which may be gone.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(mount, c"", flags, wanted).call("statx(mnt_id)", String::new)?;
    if found.stx_mask & wanted.bits() == 0 {
        Err(Errno::NOSYS).call("statx(mnt_id)", String::new)
    } else {
        Ok(found.stx_mnt_id)
    }
}

/// As [`status`], by an id that a [`Mount`] of it has.
///
/// # Errors
/// As [`status`]; `ENOENT` when there is no such mount in this mount namespace.
pub fn status_by_id(id: u64) -> Result<Mount> {
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
    Ok(Mount {
        id,
        parent: long(&reply, 48),
        device: (word(&reply, 16), word(&reply, 20)),
        #[expect(clippy::cast_possible_truncation, reason = "a magic number has 32 bits")]
        kind: Kind::of_magic(long(&reply, 24) as u32),
        is_read_only: word(&reply, 32) & SB_RDONLY != 0,
        source,
    })
}
