//! What a process can do with a map through `bpf(2)`: a client's commands, each with the bare errno.
//!
//! Keys have 4 bytes and values 8.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bpffs_pinner::sys::bpf::{self as pinner_bpf, MapDefinition};
use rustix::io::{Errno, Result};

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const NEXT_KEY: i32 = 4;
const GET_FD_BY_ID: i32 = 14;
const LOOKUP_AND_DELETE: i32 = 21;
const FREEZE: i32 = 22;
const LOOKUP_BATCH: i32 = 24;
const UPDATE_BATCH: i32 = 26;
const DELETE_BATCH: i32 = 27;

pub const HASH: u32 = 1;
pub const ARRAY: u32 = 2;
pub const PROG_ARRAY: u32 = 3;
pub const STACK_TRACE: u32 = 7;

/// `union bpf_attr`, filled by offset.
pub struct Attributes([u64; 19]);

impl Attributes {
    pub fn new() -> Self {
        Self([0; 19])
    }

    pub fn int(mut self, offset: usize, value: u32) -> Self {
        let shift = (offset % 8) * 8;
        self.0[offset / 8] |= u64::from(value) << shift;
        self
    }

    pub fn fd(self, offset: usize, fd: BorrowedFd<'_>) -> Self {
        self.int(offset, fd.as_raw_fd().cast_unsigned())
    }

    /// `value` must live until [`Attributes::call`] has returned.
    pub fn pointer<T: ?Sized>(mut self, offset: usize, value: &T) -> Self {
        self.0[offset / 8] = std::ptr::from_ref(value).cast::<()>() as u64;
        self
    }

    pub fn call(&mut self, command: i32) -> Result<i32> {
        // SAFETY: the union is larger than any command reads, and its pointers are valid, as `pointer` requires.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size_of_val(&self.0)) };
        if result < 0 {
            return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap());
        }
        Ok(i32::try_from(result).unwrap())
    }

    pub fn open(&mut self, command: i32) -> Result<OwnedFd> {
        // SAFETY: callers pass only commands that return a new descriptor.
        self.call(command).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "its address is what the kernel gets")]
fn element(map: BorrowedFd<'_>, key: &u32) -> Attributes {
    Attributes::new().fd(0, map).pointer(8, key)
}

/// Creates a map with 16 elements.
pub fn create(kind: u32, name: &str, flags: u32) -> OwnedFd {
    let value_size = if kind == PROG_ARRAY { 4 } else { 8 };
    let definition = MapDefinition { kind, key_size: 4, value_size, max_entries: 16, flags, name };
    pinner_bpf::create_map(definition).unwrap()
}

/// A hash map with one element, 1 → `value`.
pub fn hash(name: &str, value: u64) -> OwnedFd {
    let map = create(HASH, name, 0);
    update(map.as_fd(), 1, value).unwrap();
    map
}

pub fn id(map: BorrowedFd<'_>) -> u32 {
    pinner_bpf::map_info(map).unwrap().id
}

fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

pub fn open_read_only(pin: &Path) -> Result<OwnedFd> {
    pinner_bpf::open_pin(&path(pin)).map_err(|error| error.errno)
}

pub fn open_writable(pin: &Path) -> Result<OwnedFd> {
    pinner_bpf::open_pin_writable(&path(pin)).map_err(|error| error.errno)
}

/// Opens any map for reading and writing.
pub fn by_id(id: u32) -> Result<OwnedFd> {
    Attributes::new().int(0, id).open(GET_FD_BY_ID)
}

pub fn pin(object: BorrowedFd<'_>, to: &Path) -> Result<()> {
    pinner_bpf::pin(object, &path(to)).map_err(|error| error.errno)
}

pub fn info(map: BorrowedFd<'_>) -> Result<()> {
    pinner_bpf::map_info(map).map(|_| ()).map_err(|error| error.errno)
}

pub fn lookup(map: BorrowedFd<'_>, key: u32) -> Result<u64> {
    let value = [0_u64; 1];
    let mut attributes = element(map, &key).pointer(16, &value);
    attributes.call(LOOKUP)?;
    // SAFETY: the kernel has written it; the compiler could assume for a plain read that nothing has.
    Ok(unsafe { std::ptr::read_volatile(value.as_ptr()) })
}

pub fn update(map: BorrowedFd<'_>, key: u32, value: u64) -> Result<()> {
    element(map, &key).pointer(16, &value).call(UPDATE).map(|_| ())
}

pub fn delete(map: BorrowedFd<'_>, key: u32) -> Result<()> {
    element(map, &key).call(DELETE).map(|_| ())
}

pub fn lookup_and_delete(map: BorrowedFd<'_>, key: u32) -> Result<()> {
    let value = [0_u64; 1];
    element(map, &key).pointer(16, &value).call(LOOKUP_AND_DELETE).map(|_| ())
}

pub fn freeze(map: BorrowedFd<'_>) -> Result<()> {
    Attributes::new().fd(0, map).call(FREEZE).map(|_| ())
}

/// All keys, by asking for one after another.
pub fn keys(map: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let mut keys: Vec<u32> = Vec::new();
    loop {
        let next = [0_u32; 1];
        let mut attributes = Attributes::new().fd(0, map).pointer(16, &next);
        if let Some(last) = keys.last() {
            attributes = attributes.pointer(8, last);
        }
        match attributes.call(NEXT_KEY) {
            // SAFETY: as in `lookup`.
            Ok(_) => keys.push(unsafe { std::ptr::read_volatile(next.as_ptr()) }),
            Err(Errno::NOENT) => return Ok(keys),
            Err(errno) => return Err(errno),
        }
    }
}

fn batch(map: BorrowedFd<'_>, keys: &[u32], values: &[u64]) -> Attributes {
    let count = u32::try_from(keys.len()).unwrap();
    Attributes::new().pointer(16, keys).pointer(24, values).int(32, count).fd(36, map)
}

pub fn lookup_batch(map: BorrowedFd<'_>) -> Result<()> {
    let (keys, values, position) = ([0_u32; 16], [0_u64; 16], [0_u32; 4]);
    match batch(map, &keys, &values).pointer(8, &position).call(LOOKUP_BATCH) {
        // This was the last batch.
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

pub fn update_batch(map: BorrowedFd<'_>) -> Result<()> {
    batch(map, &[1], &[2]).call(UPDATE_BATCH).map(|_| ())
}

pub fn delete_batch(map: BorrowedFd<'_>) -> Result<()> {
    batch(map, &[1], &[0]).call(DELETE_BATCH).map(|_| ())
}
