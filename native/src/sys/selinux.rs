//! What SELinux calls things, where the kernel has it and a policy.
//!
//! <https://man7.org/linux/man-pages/man7/xattr.7.html>

use std::ffi::CString;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::path::through_descriptor;
use super::{Context, Result};

/// The label of what `place` is; `None` without SELinux.
///
/// # Errors
/// Whatever `getxattr(2)` says unexpectedly.
pub fn label(place: BorrowedFd<'_>) -> Result<Option<CString>> {
    const NAME: &str = "security.selinux";
    // As much as the kernel takes for one.
    let mut buffer = [0; 4096];
    match rustix::fs::getxattr(through_descriptor(place, c""), NAME, &mut buffer) {
        Ok(length) => Ok(buffer[..length].split(|&byte| byte == 0).next().and_then(|label| CString::new(label).ok())),
        // A filesystem that has no attributes, or none of this name.
        Err(Errno::OPNOTSUPP | Errno::NODATA) => Ok(None),
        Err(errno) => Err(errno).context("getxattr", || NAME.to_owned()),
    }
}
