//! `map attach`: what a loader without privileges does with a BPF token.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use bpffs_pinner::sys::{Context, Result, bpf, last_errno};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::endless;

const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const TOKEN_CREATE: libc::c_int = 36;

const ARRAY: u32 = 2;
const XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// `BPF_F_TOKEN_FD`.
const WITH_TOKEN: u32 = 1 << 16;

/// `union bpf_attr`, of which numbers are set at the offsets that the kernel has given them.
struct Attributes([u8; 152]);

impl Attributes {
    fn new(numbers: &[(usize, u32)]) -> Self {
        numbers
            .iter()
            .fold(Self([0; 152]), |attributes, &(offset, number)| attributes.set(offset, &number.to_ne_bytes()))
    }

    fn set(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Runs a command that returns a new descriptor.
    ///
    /// # Safety
    /// The pointers in the attributes must be those of the command.
    unsafe fn open(&self, command: libc::c_int) -> rustix::io::Result<OwnedFd> {
        // SAFETY: the attributes live through the call.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_ptr(), self.0.len()) };
        let fd = i32::try_from(fd).ok().filter(|&fd| fd >= 0).ok_or_else(last_errno)?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

fn token(bpffs: &str) -> Result<OwnedFd> {
    let directory = rustix::fs::open(bpffs, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let directory = directory.context("open", || bpffs.to_owned())?;
    // SAFETY: without pointers.
    unsafe { Attributes::new(&[(4, number(directory.as_fd()))]).open(TOKEN_CREATE) }
        .context("bpf(TOKEN_CREATE)", || bpffs.to_owned())
}

/// An array of one u64.
fn create(token: BorrowedFd<'_>) -> Result<OwnedFd> {
    let numbers = [(0, ARRAY), (4, 4), (8, 8), (12, 1), (16, WITH_TOKEN), (76, number(token))];
    // SAFETY: without pointers.
    unsafe { Attributes::new(&numbers).open(MAP_CREATE) }.context("bpf(MAP_CREATE)", String::new)
}

/// A program that adds one to the element of the map for each frame, and passes the frame on.
fn program(map: BorrowedFd<'_>, token: BorrowedFd<'_>) -> Result<OwnedFd> {
    const COUNT: u32 = 11;
    let instructions: [u64; COUNT as usize] = [
        0x0000_0000_fffc_0a62,                 // *(u32 *)(r10 - 4) = 0
        0x0000_0000_0000_a2bf,                 // r2 = r10
        0xffff_fffc_0000_0207,                 // r2 += -4
        u64::from(number(map)) << 32 | 0x1118, // r1 = map
        0,                                     // (of the same instruction)
        0x0000_0001_0000_0085,                 // r0 = bpf_map_lookup_elem(r1, r2)
        0x0000_0000_0002_0015,                 // if r0 == 0 goto +2
        0x0000_0001_0000_01b7,                 // r1 = 1
        0x0000_0000_0000_10db,                 // lock *(u64 *)r0 += r1
        0x0000_0002_0000_00b7,                 // r0 = XDP_PASS
        0x0000_0000_0000_0095,                 // return r0
    ];
    let license: &CStr = c"Apache-2.0";
    let numbers = [(0, XDP), (4, COUNT), (44, WITH_TOKEN), (68, ATTACH_XDP), (144, number(token))];
    let attributes = Attributes::new(&numbers)
        .set(8, &(instructions.as_ptr() as u64).to_ne_bytes())
        .set(16, &(license.as_ptr() as u64).to_ne_bytes());
    // SAFETY: the instructions and the license live through the call.
    unsafe { attributes.open(PROG_LOAD) }.context("bpf(PROG_LOAD)", String::new)
}

fn link(program: BorrowedFd<'_>, interface: &str) -> Result<OwnedFd> {
    let name = CString::new(interface).unwrap_or_default();
    // SAFETY: a string that ends with 0.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    let numbers = [(0, number(program)), (4, index), (8, ATTACH_XDP)];
    // SAFETY: without pointers.
    unsafe { Attributes::new(&numbers).open(LINK_CREATE) }.context("bpf(LINK_CREATE)", || interface.to_owned())
}

/// Counts the frames of an interface in `BPFFS/packets`, until this process ends.
pub fn attach(bpffs: &str, interface: &str) -> Result<()> {
    let pin = CString::new(format!("{bpffs}/packets")).unwrap_or_default();
    let token = token(bpffs)?;
    let map = match bpf::open_pin_writable(&pin) {
        Err(error) if error.errno == Errno::NOENT => {
            let map = create(token.as_fd())?;
            bpf::pin(map.as_fd(), &pin)?;
            map
        }
        opened => opened?,
    };
    let program = program(map.as_fd(), token.as_fd())?;
    let _link = link(program.as_fd(), interface)?;
    endless::watch(&pin)
}
