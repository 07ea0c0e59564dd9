//! Lists and opens maps and programs by id.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::call::{
    Attributes, BPF_F_RDONLY, MAP_GET_FD_BY_ID, MAP_GET_NEXT_ID, PROG_GET_FD_BY_ID, PROG_GET_NEXT_ID, bpf, bpf_fd,
};
use crate::sys::{Context, Result};

#[repr(C)]
struct IdAttributes {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

// SAFETY: the fields of these commands, without pointers.
unsafe impl Attributes for IdAttributes {
    const COMMANDS: &'static [u32] = &[PROG_GET_NEXT_ID, MAP_GET_NEXT_ID, PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID];
}

fn ids(command: u32, call: &'static str, after: u32) -> impl Iterator<Item = Result<u32>> {
    let mut last = Some(after);
    std::iter::from_fn(move || {
        let mut attributes = IdAttributes { id: last?, next_id: 0, open_flags: 0 };
        match bpf(command, &mut attributes) {
            Ok(_) => {
                last = Some(attributes.next_id);
                Some(Ok(attributes.next_id))
            }
            Err(errno) => {
                last = None;
                (errno != Errno::NOENT).then(|| Err(errno).context(call, String::new))
            }
        }
    })
}

/// The ids of all maps in the kernel above `after`, ascending.
pub fn map_ids(after: u32) -> impl Iterator<Item = Result<u32>> {
    ids(MAP_GET_NEXT_ID, "bpf(MAP_GET_NEXT_ID)", after)
}

/// The ids of all programs in the kernel above `after`, ascending.
pub fn program_ids(after: u32) -> impl Iterator<Item = Result<u32>> {
    ids(PROG_GET_NEXT_ID, "bpf(PROG_GET_NEXT_ID)", after)
}

fn by_id(command: u32, call: &'static str, id: u32, open_flags: u32) -> Result<Option<OwnedFd>> {
    let opened = bpf_fd(command, &mut IdAttributes { id, next_id: 0, open_flags });
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno).context(call, || id.to_string()),
    }
}

/// Opens a map by id for reading, which is enough to pin it; `None` if it is gone.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, or if a security module forbids it.
pub fn map_by_id(id: u32) -> Result<Option<OwnedFd>> {
    by_id(MAP_GET_FD_BY_ID, "bpf(MAP_GET_FD_BY_ID)", id, BPF_F_RDONLY)
}

/// Opens a program by id; `None` if it is gone.
///
/// # Errors
/// As [`map_by_id`].
pub fn program_by_id(id: u32) -> Result<Option<OwnedFd>> {
    by_id(PROG_GET_FD_BY_ID, "bpf(PROG_GET_FD_BY_ID)", id, 0)
}
