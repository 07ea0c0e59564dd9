//! `bpf(2)`: pins, ids, descriptions of maps and programs.
//!
//! The attribute structs hold the fields of `union bpf_attr` (`include/uapi/linux/bpf.h`) up to the last one used; the
//! kernel reads what lies behind as zero.
//! <https://man7.org/linux/man-pages/man2/bpf.2.html>

use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use super::{Context, Result, last_errno};

const MAP_CREATE: u32 = 0;
const MAP_LOOKUP_ELEM: u32 = 1;
const OBJ_PIN: u32 = 6;
const OBJ_GET: u32 = 7;
const PROG_GET_NEXT_ID: u32 = 11;
const MAP_GET_NEXT_ID: u32 = 12;
const PROG_GET_FD_BY_ID: u32 = 13;
const MAP_GET_FD_BY_ID: u32 = 14;
const OBJ_GET_INFO_BY_FD: u32 = 15;

/// Loads a program, which the pinner never does.
pub const PROG_LOAD: u32 = 5;
/// What is asked of `bpf(2)` while the pinner serves.
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

const BPF_F_RDONLY: u32 = 1 << 3;

/// Bytes the kernel keeps of a name, the closing zero not counted (`BPF_OBJ_NAME_LEN - 1`).
pub const NAME_LEN: usize = 15;

/// A map as `BPF_OBJ_GET_INFO_BY_FD` describes it: the head of `struct bpf_map_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MapInfo {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Unique while the map lives; handed out upwards, so hardly ever again.
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
    /// The name its creator gave it, cut to 15 characters; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        object_name(&self.name)
    }
}

/// A program as `BPF_OBJ_GET_INFO_BY_FD` describes it: the head of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct RawProgramInfo {
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
    map_ids: u64,
    name: [u8; NAME_LEN + 1],
}

/// What is asked of a program here.
#[derive(Clone, Debug)]
pub struct ProgramInfo {
    /// Unique while the program lives.
    pub id: u32,
    /// The name its loader gave it, cut to 15 characters.
    pub name: String,
    /// SHA-1 of its instructions, the first 8 bytes in hexadecimal.
    pub tag: String,
    /// Ids of the maps that it uses.
    pub map_ids: Vec<u32>,
}

/// What a new map shall be.
#[derive(Clone, Copy, Debug)]
pub struct MapDefinition<'a> {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Elements, or bytes of a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_…`.
    pub flags: u32,
    /// Cut to 15 characters, and `_` for what the kernel does not take in a name.
    pub name: &'a str,
}

/// What a pin holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A map.
    Map,
    /// A program.
    Program,
    /// A link, or anything that later kernels may pin.
    Other,
}

fn object_name(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).unwrap_or_default()
}

/// The one place that calls `bpf(2)`.
fn bpf<T>(command: u32, attributes: &mut T) -> rustix::io::Result<RawFd> {
    let size = size_of::<T>();
    // SAFETY: `attributes` is a live, exclusive reference to a C struct of `size` bytes, as the command expects it; the
    // pointers inside outlive this call because the callers borrow what they point to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if result < 0 {
        return Err(last_errno());
    }
    RawFd::try_from(result).map_err(|_| Errno::OVERFLOW)
}

fn bpf_fd<T>(command: u32, attributes: &mut T) -> rustix::io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the commands given here answer with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn pointer<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<()>() as u64
}

#[repr(C)]
struct ObjectAttributes {
    path: u64,
    fd: u32,
    file_flags: u32,
}

/// Pins an object at `path`, which must be on a bpffs.
///
/// # Errors
/// `EEXIST`, `EROFS`, `EPERM` for a name with a dot, `EINVAL` where `path` is on another filesystem.
pub fn pin(object: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let mut attributes =
        ObjectAttributes { path: pointer(path), fd: object.as_raw_fd().cast_unsigned(), file_flags: 0 };
    bpf(OBJ_PIN, &mut attributes).map(|_| ()).call("bpf(OBJ_PIN)", || path.to_string_lossy().into_owned())
}

/// Opens the object pinned at `path` for reading. A map opened so can still be pinned elsewhere, with all rights.
///
/// # Errors
/// `ENOENT`, `EACCES` by file mode, `EINVAL` where there is no pin or it holds a link.
pub fn open_pin(path: &CStr) -> Result<OwnedFd> {
    let mut attributes = ObjectAttributes { path: pointer(path), fd: 0, file_flags: BPF_F_RDONLY };
    bpf_fd(OBJ_GET, &mut attributes).call("bpf(OBJ_GET)", || path.to_string_lossy().into_owned())
}

/// Opens the object pinned at `path` for reading and writing.
///
/// # Errors
/// As [`open_pin`], and `EROFS` on a read-only superblock.
pub fn open_pin_writable(path: &CStr) -> Result<OwnedFd> {
    let mut attributes = ObjectAttributes { path: pointer(path), fd: 0, file_flags: 0 };
    bpf_fd(OBJ_GET, &mut attributes).call("bpf(OBJ_GET, rw)", || path.to_string_lossy().into_owned())
}

/// Whether `object` is a map, judged by the kernel's name for the descriptor.
///
/// # Errors
/// When `/proc` is not there.
pub fn object_kind(object: BorrowedFd<'_>) -> Result<ObjectKind> {
    let link = format!("/proc/self/fd/{}", object.as_raw_fd());
    let target = fs::read_link(&link).call("readlink", || link)?;
    Ok(match target.to_str() {
        Some("anon_inode:bpf-map") => ObjectKind::Map,
        Some("anon_inode:bpf-prog") => ObjectKind::Program,
        _ => ObjectKind::Other,
    })
}

#[repr(C)]
struct InfoAttributes {
    fd: u32,
    len: u32,
    info: u64,
}

fn info<T>(object: BorrowedFd<'_>, info: &mut T) -> rustix::io::Result<()> {
    let len = u32::try_from(size_of::<T>()).map_err(|_| Errno::OVERFLOW)?;
    let info = std::ptr::from_mut(info) as u64;
    bpf(OBJ_GET_INFO_BY_FD, &mut InfoAttributes { fd: object.as_raw_fd().cast_unsigned(), len, info }).map(|_| ())
}

/// Describes a map.
///
/// # Errors
/// `EINVAL` if `map` is no BPF object.
pub fn map_info(map: BorrowedFd<'_>) -> Result<MapInfo> {
    let mut described = MapInfo::default();
    info(map, &mut described).call("bpf(OBJ_GET_INFO_BY_FD, map)", String::new)?;
    Ok(described)
}

/// Describes a program and the maps it uses.
///
/// # Errors
/// `EINVAL` if `program` is no BPF object.
pub fn program_info(program: BorrowedFd<'_>) -> Result<ProgramInfo> {
    const CALL: &str = "bpf(OBJ_GET_INFO_BY_FD, program)";
    let mut raw = RawProgramInfo::default();
    info(program, &mut raw).call(CALL, String::new)?;
    let mut map_ids = vec![0_u32; raw.map_count as usize];
    if !map_ids.is_empty() {
        let room = raw.map_count;
        let ids = map_ids.as_mut_ptr() as u64;
        raw = RawProgramInfo { map_count: room, map_ids: ids, ..RawProgramInfo::default() };
        info(program, &mut raw).call(CALL, String::new)?;
        map_ids.truncate(raw.map_count as usize);
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
/// When `/proc` is not there.
pub fn map_memory(map: BorrowedFd<'_>) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", map.as_raw_fd());
    let text = fs::read_to_string(&path).call("read", || path)?;
    let value = text.lines().find_map(|line| line.strip_prefix("memlock:")).map(str::trim);
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
}

#[repr(C)]
struct IdAttributes {
    id: u32,
    next_id: u32,
    open_flags: u32,
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
                (errno != Errno::NOENT).then(|| Err(errno).call(call, String::new))
            }
        }
    })
}

/// The ids of all maps in the kernel beyond one, upwards.
pub fn map_ids(after: u32) -> impl Iterator<Item = Result<u32>> {
    ids(MAP_GET_NEXT_ID, "bpf(MAP_GET_NEXT_ID)", after)
}

/// The ids of all programs in the kernel beyond one, upwards.
pub fn program_ids(after: u32) -> impl Iterator<Item = Result<u32>> {
    ids(PROG_GET_NEXT_ID, "bpf(PROG_GET_NEXT_ID)", after)
}

fn by_id(command: u32, call: &'static str, id: u32, open_flags: u32) -> Result<Option<OwnedFd>> {
    let opened = bpf_fd(command, &mut IdAttributes { id, next_id: 0, open_flags });
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno).call(call, || id.to_string()),
    }
}

/// Opens a map by id for reading, which is enough to pin it; `None` when it is gone by now.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, or where a security module forbids it.
pub fn map_by_id(id: u32) -> Result<Option<OwnedFd>> {
    by_id(MAP_GET_FD_BY_ID, "bpf(MAP_GET_FD_BY_ID)", id, BPF_F_RDONLY)
}

/// Opens a program by id; `None` when it is gone by now.
///
/// # Errors
/// As [`map_by_id`].
pub fn program_by_id(id: u32) -> Result<Option<OwnedFd>> {
    by_id(PROG_GET_FD_BY_ID, "bpf(PROG_GET_FD_BY_ID)", id, 0)
}

#[repr(C)]
#[derive(Default)]
struct CreateAttributes {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; NAME_LEN + 1],
}

/// Makes a map.
///
/// # Errors
/// `EINVAL` or `E2BIG` where the definition does not suit the type, `EPERM` where the type needs another capability,
/// `ENOMEM`.
pub fn create_map(definition: MapDefinition<'_>) -> Result<OwnedFd> {
    create(definition, 0)
}

/// Makes a map of maps, each like `inner`, which is not needed afterwards.
///
/// # Errors
/// As [`create_map`], and `ENOTSUPP` for a type of inner map that the kernel does not take.
pub fn create_map_of_maps(definition: MapDefinition<'_>, inner: BorrowedFd<'_>) -> Result<OwnedFd> {
    create(definition, inner.as_raw_fd().cast_unsigned())
}

fn create(definition: MapDefinition<'_>, inner_map_fd: u32) -> Result<OwnedFd> {
    let mut attributes = CreateAttributes {
        kind: definition.kind,
        key_size: definition.key_size,
        value_size: definition.value_size,
        max_entries: definition.max_entries,
        flags: definition.flags,
        inner_map_fd,
        ..CreateAttributes::default()
    };
    for (to, from) in attributes.name[..NAME_LEN].iter_mut().zip(definition.name.bytes()) {
        *to = if from.is_ascii_alphanumeric() { from } else { b'_' };
    }
    bpf_fd(MAP_CREATE, &mut attributes).call("bpf(MAP_CREATE)", || definition.name.to_owned())
}

#[repr(C)]
struct ElementAttributes {
    fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Reads the element with the key 0.
///
/// # Safety
/// The map's key has 4 bytes, and its value `N`; the kernel writes as many as the value has.
///
/// # Errors
/// `ENOENT`, and `EPERM` for a process that may not use maps.
pub unsafe fn lookup_first<const N: usize>(map: BorrowedFd<'_>) -> Result<[u8; N]> {
    let key = 0_u32;
    let mut value = [0_u8; N];
    let mut attributes = ElementAttributes {
        fd: map.as_fd().as_raw_fd().cast_unsigned(),
        pad: 0,
        key: pointer(&key),
        value: std::ptr::from_mut(&mut value) as u64,
        flags: 0,
    };
    bpf(MAP_LOOKUP_ELEM, &mut attributes).call("bpf(MAP_LOOKUP_ELEM)", String::new)?;
    Ok(value)
}
