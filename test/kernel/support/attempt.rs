//! Everything a pod might try against a volume with a read-only map `flows` and a writable map `limits`: each operation
//! with its name, its result, and the errors it may fail with.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use bpffs_pinner::sys::path::through_descriptor;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::{Errno, Result};

use super::map;

/// An operation, its result, and the errors it may fail with.
pub struct Attempt(String, Result<()>, &'static [Errno]);

const CLOSED: &[Errno] = &[Errno::ROFS, Errno::PERM, Errno::ACCESS];
const CROSSING: &[Errno] = &[Errno::ROFS, Errno::PERM, Errno::ACCESS, Errno::XDEV];
const NO_DIRECTORY: &[Errno] = &[Errno::NOTDIR];
const TAKEN: &[Errno] = &[Errno::EXIST, Errno::ROFS];
const DENIED: &[Errno] = &[Errno::PERM];

#[track_caller]
pub fn assert_all_fail(who: &str, attempts: Vec<Attempt>) {
    let wrong: Vec<_> = attempts
        .into_iter()
        .filter(|Attempt(_, outcome, expected)| !outcome.is_err_and(|errno| expected.contains(&errno)))
        .map(|Attempt(what, outcome, expected)| format!("{what}: {outcome:?}, not one of {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "as {who}: {wrong:#?}");
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))
}

/// Tries to open `pin` for writing, by every path to it.
pub fn opening_for_writing(pin: &Path) -> Vec<Attempt> {
    let indirectly = open(pin, OFlags::PATH).and_then(|place| {
        let path = through_descriptor(place.as_fd(), c"");
        map::open_writable(Path::new(path.to_str().unwrap())).map(drop)
    });
    vec![
        Attempt("open for writing".to_owned(), map::open_writable(pin).map(drop), CLOSED),
        Attempt("open for writing through a descriptor".to_owned(), indirectly, CLOSED),
    ]
}

/// Tries to change a map through a read-only descriptor.
pub fn changing(map: BorrowedFd<'_>) -> Vec<Attempt> {
    [
        ("update", map::update(map, 1, 666)),
        ("update of a new key", map::update(map, 2, 666)),
        ("delete", map::delete(map, 1)),
        ("lookup_and_delete", map::lookup_and_delete(map, 1)),
        ("update_batch", map::update_batch(map)),
        ("delete_batch", map::delete_batch(map)),
        ("freeze", map::freeze(map)),
    ]
    .map(|(what, outcome)| Attempt(what.to_owned(), outcome, DENIED))
    .into()
}

/// Tries to pin a map again, everywhere in a pod's volumes.
pub fn pinning(map: BorrowedFd<'_>, volumes: &[&Path]) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for volume in volumes {
        for (path, expected) in [
            ("new", CLOSED),
            ("flows", TAKEN),
            ("limits", TAKEN),
            ("flows/new", NO_DIRECTORY),
            ("limits/new", NO_DIRECTORY),
            ("limits/../new", NO_DIRECTORY),
        ] {
            let to = volume.join(path);
            attempts.push(Attempt(format!("pin at {}", to.display()), map::pin(map, &to), expected));
        }
    }
    attempts
}

/// Tries everything that would change a volume's directory or a read-only pin in it.
pub fn changing_directory(volume: &Path) -> Vec<Attempt> {
    let mode = Mode::from_raw_mode(0o777);
    let [new, flows, limits] = ["new", "flows", "limits"].map(|name| volume.join(name));
    let now = Timestamps {
        last_access: Timespec { tv_sec: 1, tv_nsec: 0 },
        last_modification: Timespec { tv_sec: 1, tv_nsec: 0 },
    };
    let owner = Some(rustix::fs::Uid::from_raw(65534));
    let device = rustix::fs::mknodat(CWD, &new, FileType::RegularFile, mode, 0);
    [
        ("mkdir", rustix::fs::mkdir(&new, mode), CLOSED),
        ("create", open(&new, OFlags::CREATE | OFlags::RDWR).map(drop), CLOSED),
        ("unnamed file", open(volume, OFlags::TMPFILE | OFlags::RDWR).map(drop), &[Errno::ROFS, Errno::OPNOTSUPP]),
        ("mknod", device, CLOSED),
        ("symlink", rustix::fs::symlink("flows", &new), CLOSED),
        ("link", rustix::fs::link(&flows, &new), CLOSED),
        ("link of the writable file", rustix::fs::link(&limits, &new), CROSSING),
        ("rename", rustix::fs::rename(&flows, &new), CLOSED),
        ("rename onto the writable file", rustix::fs::rename(&flows, &limits), CLOSED),
        ("rename of the writable file", rustix::fs::rename(&limits, &new), CLOSED),
        ("unlink", rustix::fs::unlink(&flows), CLOSED),
        ("unlink of the writable file", rustix::fs::unlink(&limits), CLOSED),
        ("rmdir", rustix::fs::rmdir(volume), &[Errno::BUSY, Errno::ACCESS, Errno::PERM]),
        ("chmod", rustix::fs::chmod(&flows, mode), CLOSED),
        ("chmod of the directory", rustix::fs::chmod(volume, mode), CLOSED),
        ("chown", rustix::fs::chown(&flows, owner, None), CLOSED),
        ("chown of the directory", rustix::fs::chown(volume, owner, None), CLOSED),
        ("utimes", rustix::fs::utimensat(CWD, &flows, &now, AtFlags::empty()), CLOSED),
        ("truncate", open(&flows, OFlags::WRONLY | OFlags::TRUNC).map(drop), CLOSED),
        ("file handle of the writable file", file_handle(&limits), &[Errno::OPNOTSUPP]),
    ]
    .map(|(what, outcome, expected)| Attempt(what.to_owned(), outcome, expected))
    .into()
}

/// A handle would lead past the mounted file to the directory of the writable pins.
fn file_handle(path: &Path) -> Result<()> {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let (mut handle, mut mount_id) = ([0_u32; 34], 0);
    handle[0] = 128;
    // SAFETY: `handle` is a `struct file_handle` with room for 128 bytes, as its first field says.
    let result = unsafe {
        libc::name_to_handle_at(libc::AT_FDCWD, path.as_ptr(), handle.as_mut_ptr().cast(), &raw mut mount_id, 0)
    };
    if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap()) }
}
