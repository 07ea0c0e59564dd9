//! Describes maps and programs, and tells what a descriptor refers to.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::call::{Attributes, OBJ_GET_INFO_BY_FD, Pointer, bpf};
use crate::sys::{Context, Result};

/// Bytes of a name without its NUL (`BPF_OBJ_NAME_LEN - 1`).
pub const NAME_LEN: usize = 15;

/// A map as `BPF_OBJ_GET_INFO_BY_FD` describes it: the first fields of `struct bpf_map_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MapInfo {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Unique among living maps; the kernel reuses ids only after they wrap.
    pub id: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Elements, or bytes of a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_…`.
    pub flags: u32,
    name: [u8; NAME_LEN + 1],
}

impl MapInfo {
    /// The name that its creator gave it, cut to 15 characters; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        object_name(&self.name)
    }
}

/// A program as `BPF_OBJ_GET_INFO_BY_FD` describes it: the first fields of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct RawProgramInfo<'a> {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_len: u32,
    xlated_len: u32,
    jited_insns: u64,
    xlated_insns: u64,
    load_time: u64,
    created_by_uid: u32,
    map_count: u32,
    map_ids: Pointer<'a>,
    name: [u8; NAME_LEN + 1],
}

/// What the pinner needs to know of a program.
#[derive(Clone, Debug)]
pub struct ProgramInfo {
    /// Unique among living programs.
    pub id: u32,
    /// The name its loader gave it, cut to 15 characters.
    pub name: String,
    /// The first 8 bytes of the SHA-1 of its instructions, in hexadecimal.
    pub tag: String,
    /// Ids of the maps that it uses.
    pub map_ids: Vec<u32>,
}

/// The kind of a pinned object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A map.
    Map,
    /// A program.
    Program,
    /// A BPF link, or a kind that a later kernel can pin.
    Other,
}

fn object_name(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).unwrap_or_default()
}

/// The kind of `object`, by the kernel's name for its descriptor.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn object_kind(object: BorrowedFd<'_>) -> Result<ObjectKind> {
    let link = format!("/proc/self/fd/{}", object.as_raw_fd());
    let target = fs::read_link(&link).context("readlink", || link)?;
    Ok(match target.to_str() {
        Some("anon_inode:bpf-map") => ObjectKind::Map,
        Some("anon_inode:bpf-prog") => ObjectKind::Program,
        _ => ObjectKind::Other,
    })
}

#[repr(C)]
struct InfoAttributes<'a> {
    fd: u32,
    len: u32,
    info: Pointer<'a>,
}

// SAFETY: the fields of this command, which writes at most `len` bytes; only `info` constructs them.
unsafe impl Attributes for InfoAttributes<'_> {
    const COMMANDS: &'static [u32] = &[OBJ_GET_INFO_BY_FD];
}

/// A struct that `BPF_OBJ_GET_INFO_BY_FD` fills.
///
/// # Safety
/// The type has the first fields of `struct bpf_map_info` or `struct bpf_prog_info`, any bytes are a valid value, and
/// its [`Pointer`]s have room for as many elements as its counts say.
unsafe trait Info {}

// SAFETY: the first fields of `struct bpf_map_info`, all integers.
unsafe impl Info for MapInfo {}
// SAFETY: the first fields of `struct bpf_prog_info`, all integers; `program_info` makes room for `map_count` map ids.
unsafe impl Info for RawProgramInfo<'_> {}

fn info<T: Info>(object: BorrowedFd<'_>, info: &mut T) -> rustix::io::Result<()> {
    let len = u32::try_from(size_of::<T>()).map_err(|_| Errno::OVERFLOW)?;
    let fd = object.as_raw_fd().cast_unsigned();
    bpf(OBJ_GET_INFO_BY_FD, &mut InfoAttributes { fd, len, info: Pointer::to_write(info) }).map(|_| ())
}

/// Describes a map.
///
/// # Errors
/// `EINVAL` if `map` is not a BPF object.
pub fn map_info(map: BorrowedFd<'_>) -> Result<MapInfo> {
    let mut described = MapInfo::default();
    info(map, &mut described).context("bpf(OBJ_GET_INFO_BY_FD, map)", String::new)?;
    Ok(described)
}

/// Describes a program and the maps it uses.
///
/// # Errors
/// `EINVAL` if `program` is not a BPF object.
pub fn program_info(program: BorrowedFd<'_>) -> Result<ProgramInfo> {
    const CALL: &str = "bpf(OBJ_GET_INFO_BY_FD, program)";
    let mut raw = RawProgramInfo::default();
    info(program, &mut raw).context(CALL, String::new)?;
    let mut map_ids = vec![0_u32; raw.map_count as usize];
    if !map_ids.is_empty() {
        let (map_count, room) = (raw.map_count, Pointer::to_write(&mut map_ids[..]));
        let mut again = RawProgramInfo { map_count, map_ids: room, ..RawProgramInfo::default() };
        info(program, &mut again).context(CALL, String::new)?;
        let known = again.map_count as usize;
        map_ids.truncate(known);
    }
    let tag = raw.tag.iter().fold(String::with_capacity(16), |mut tag, byte| {
        use std::fmt::Write as _;
        let _ = write!(tag, "{byte:02x}");
        tag
    });
    Ok(ProgramInfo { id: raw.id, name: object_name(&raw.name).to_owned(), tag, map_ids })
}

/// Kernel memory of a map in bytes: `memlock` of its fdinfo.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn map_memory(map: BorrowedFd<'_>) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", map.as_raw_fd());
    let text = fs::read_to_string(&path).context("read", || path)?;
    let value = text.lines().find_map(|line| line.strip_prefix("memlock:")).map(str::trim);
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
}
