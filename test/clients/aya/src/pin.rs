//! Opening a pin for reading only.
//!
//! aya's `MapData::from_pin` always asks for reading and writing, and has no flags: a volume answers EROFS for a map that may
//! only be read. So the descriptor is fetched here, and given to `MapData::from_fd`.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

// <https://docs.kernel.org/userspace-api/ebpf/syscall.html>
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_F_RDONLY: u32 = 1 << 3;

/// The part of `union bpf_attr` that `BPF_OBJ_GET` reads.
#[repr(C)]
struct ObjectAttributes {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// Opens a pinned map for reading.
///
/// # Errors
/// The kernel's.
pub fn open_read_only(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjectAttributes {
        path: path.as_ptr() as u64,
        descriptor: 0,
        flags: BPF_F_RDONLY,
    };
    // SAFETY: attributes and the path in it outlive the call, and the size given is that of attributes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET,
            &raw const attributes,
            size_of::<ObjectAttributes>(),
        )
    };
    match RawFd::try_from(result) {
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
