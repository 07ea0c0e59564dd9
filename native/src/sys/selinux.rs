//! SELinux labels: <https://man7.org/linux/man-pages/man7/xattr.7.html>

use std::ffi::CString;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::path::through_descriptor;
use super::{Context, Result};

/// The SELinux label of `place`; `None` without SELinux.
///
/// # Errors
/// An unexpected error of `getxattr(2)`.
pub fn label(place: BorrowedFd<'_>) -> Result<Option<CString>> {
    const NAME: &str = "security.selinux";
    // More than any label has.
    let mut buffer = [0; 4096];
    match rustix::fs::getxattr(through_descriptor(place, c""), NAME, &mut buffer) {
        Ok(length) => Ok(buffer[..length].split(|&byte| byte == 0).next().and_then(|label| CString::new(label).ok())),
        // The filesystem has no attributes, or not this one.
        Err(Errno::OPNOTSUPP | Errno::NODATA) => Ok(None),
        Err(errno) => Err(errno).context("getxattr", || NAME.to_owned()),
    }
}
