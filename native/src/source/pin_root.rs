//! The directories beneath which pins may be named, as they are now.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;

use crate::sys::mount;
use crate::sys::mountinfo::Kind;
use crate::sys::path::open_beneath;

/// Why nothing can be pinned in `root` now, and what to do; `None` if it is on a bpffs.
#[must_use]
pub fn problem(root: &Path) -> Option<String> {
    let found = open_beneath(root, Path::new("")).and_then(|directory| mount::file_system(directory.as_fd()));
    match found {
        Ok(file_system) if file_system.kind == Kind::Bpf => None,
        Ok(_) => Some(format!("is no bpf filesystem: maps of \"pinned\" sources cannot be there; {}", mount_one(root))),
        Err(error) if error.errno == Errno::NOENT => {
            Some(format!("does not exist: nothing can be pinned there; create it, and {}", mount_one(root)))
        }
        Err(error) => Some(format!("cannot be looked at: {error}")),
    }
}

/// What to do where a bpffs is missing.
pub(super) fn mount_one(root: &Path) -> String {
    format!("mount one (mount -t bpf bpf {})", root.display())
}
