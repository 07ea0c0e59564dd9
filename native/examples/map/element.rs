//! `bpf(2)` on elements of a map.

use std::os::fd::{AsRawFd, BorrowedFd};

use bpffs_pinner::sys::last_errno;

pub const LOOKUP: libc::c_int = 1;
pub const UPDATE: libc::c_int = 2;
pub const NEXT_KEY: libc::c_int = 4;
pub const LOOKUP_AND_DELETE: libc::c_int = 21;

/// The first fields of `union bpf_attr` for commands on elements.
#[repr(C)]
struct Element {
    fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Runs a command on an element whose key and value are in memory; for `NEXT_KEY`, `value` is the next key.
///
/// # Safety
/// `key` is null or as long as the map's keys, and `value` as long as its values on every CPU.
pub unsafe fn raw(command: libc::c_int, map: BorrowedFd<'_>, key: *const u8, value: *mut u8) -> rustix::io::Result<()> {
    let fd = map.as_raw_fd().cast_unsigned();
    let element = Element { fd, pad: 0, key: key as u64, value: value as u64, flags: 0 };
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(&element), size_of::<Element>()) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Runs a command on an element of a map with keys of four bytes and values of eight. A queue has no keys.
pub fn element<V>(
    command: libc::c_int,
    map: BorrowedFd<'_>,
    key: Option<&u32>,
    value: &mut V,
) -> rustix::io::Result<()> {
    let key = key.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both live through the call and have the sizes of the maps that this program works on.
    unsafe { raw(command, map, key.cast(), std::ptr::from_mut(value).cast()) }
}
