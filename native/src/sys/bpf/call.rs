//! The system call itself, its commands and their attributes.

use std::marker::PhantomData;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::sys::last_errno;

pub(super) const MAP_CREATE: u32 = 0;
pub(super) const MAP_LOOKUP_ELEM: u32 = 1;
pub(super) const OBJ_PIN: u32 = 6;
pub(super) const OBJ_GET: u32 = 7;
pub(super) const PROG_GET_NEXT_ID: u32 = 11;
pub(super) const MAP_GET_NEXT_ID: u32 = 12;
pub(super) const PROG_GET_FD_BY_ID: u32 = 13;
pub(super) const MAP_GET_FD_BY_ID: u32 = 14;
pub(super) const OBJ_GET_INFO_BY_FD: u32 = 15;

/// Loads a program, which the pinner never does.
pub const PROG_LOAD: u32 = 5;
/// The commands that the pinner uses while it serves.
pub const COMMANDS: [u32; 8] = [
    MAP_CREATE,
    OBJ_PIN,
    OBJ_GET,
    PROG_GET_NEXT_ID,
    MAP_GET_NEXT_ID,
    PROG_GET_FD_BY_ID,
    MAP_GET_FD_BY_ID,
    OBJ_GET_INFO_BY_FD,
];

pub(super) const BPF_F_RDONLY: u32 = 1 << 3;

/// An address that the kernel reads or writes, as the attribute structs have it. Borrows what it points to.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pointer<'a>(u64, PhantomData<&'a ()>);

impl<'a> Pointer<'a> {
    pub(super) fn to_read<T: ?Sized>(from: &'a T) -> Self {
        Self(std::ptr::from_ref(from).cast::<()>() as u64, PhantomData)
    }

    pub(super) fn to_write<T: ?Sized>(to: &'a mut T) -> Self {
        Self(std::ptr::from_mut(to).cast::<()>() as u64, PhantomData)
    }
}

/// The attributes of commands of `bpf(2)`.
///
/// # Safety
/// The type has the first fields of `union bpf_attr` for `COMMANDS`, without padding, and its [`Pointer`]s have room
/// for what those commands write there.
pub(super) unsafe trait Attributes {
    const COMMANDS: &'static [u32];
}

/// The only function that calls `bpf(2)`.
pub(super) fn bpf<T: Attributes>(command: u32, attributes: &mut T) -> rustix::io::Result<RawFd> {
    if !T::COMMANDS.contains(&command) {
        return Err(Errno::INVAL);
    }
    let size = size_of::<T>();
    // SAFETY: `attributes` is an exclusive reference to a struct of `size` bytes that suits the command.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if result < 0 {
        return Err(last_errno());
    }
    RawFd::try_from(result).map_err(|_| Errno::OVERFLOW)
}

pub(super) fn bpf_fd<T: Attributes>(command: u32, attributes: &mut T) -> rustix::io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: callers pass only commands that return a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
