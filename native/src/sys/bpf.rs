//! `bpf(2)`: pins, ids, descriptions of maps and programs.
//!
//! The attribute structs have the fields of `union bpf_attr` (`include/uapi/linux/bpf.h`) up to the last one used; the
//! kernel takes the rest as zero. <https://man7.org/linux/man-pages/man2/bpf.2.html>

use std::ffi::CStr;
use std::fs;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

const BPF_F_RDONLY: u32 = 1 << 3;

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

/// The definition of a new map.
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
    /// Cut to 15 characters; characters that the kernel does not allow become `_`.
    pub name: &'a str,
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

/// An address that the kernel reads or writes, as the attribute structs have it. Borrows what it points to.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default)]
struct Pointer<'a>(u64, PhantomData<&'a ()>);

impl<'a> Pointer<'a> {
    fn to_read<T: ?Sized>(from: &'a T) -> Self {
        Self(std::ptr::from_ref(from).cast::<()>() as u64, PhantomData)
    }

    fn to_write<T: ?Sized>(to: &'a mut T) -> Self {
        Self(std::ptr::from_mut(to).cast::<()>() as u64, PhantomData)
    }
}

/// The attributes of commands of `bpf(2)`.
///
/// # Safety
/// The type has the first fields of `union bpf_attr` for `COMMANDS`, without padding, and its [`Pointer`]s have room
/// for what those commands write there.
unsafe trait Attributes {
    const COMMANDS: &'static [u32];
}

/// The only function that calls `bpf(2)`.
fn bpf<T: Attributes>(command: u32, attributes: &mut T) -> rustix::io::Result<RawFd> {
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

fn bpf_fd<T: Attributes>(command: u32, attributes: &mut T) -> rustix::io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: callers pass only commands that return a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[repr(C)]
struct ObjectAttributes<'a> {
    path: Pointer<'a>,
    fd: u32,
    file_flags: u32,
}

// SAFETY: the fields of these commands; the path is a C string and only read.
unsafe impl Attributes for ObjectAttributes<'_> {
    const COMMANDS: &'static [u32] = &[OBJ_PIN, OBJ_GET];
}

/// Pins an object at `path`, which must be on a bpffs.
///
/// # Errors
/// `EEXIST`, `EROFS`, `EPERM` for a name with a dot, `EINVAL` if `path` is on another filesystem.
pub fn pin(object: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let mut attributes =
        ObjectAttributes { path: Pointer::to_read(path), fd: object.as_raw_fd().cast_unsigned(), file_flags: 0 };
    bpf(OBJ_PIN, &mut attributes).map(|_| ()).context("bpf(OBJ_PIN)", || path.to_string_lossy().into_owned())
}

/// Opens the object pinned at `path` for reading. The kernel still lets a map opened so be pinned elsewhere, writable.
///
/// # Errors
/// `ENOENT`, `EACCES` by file mode, `EINVAL` if it is not a pin or the pin of a BPF link.
pub fn open_pin(path: &CStr) -> Result<OwnedFd> {
    let mut attributes = ObjectAttributes { path: Pointer::to_read(path), fd: 0, file_flags: BPF_F_RDONLY };
    bpf_fd(OBJ_GET, &mut attributes).context("bpf(OBJ_GET)", || path.to_string_lossy().into_owned())
}

/// Opens the object pinned at `path` for reading and writing.
///
/// # Errors
/// As [`open_pin`], and `EROFS` on a read-only superblock.
pub fn open_pin_writable(path: &CStr) -> Result<OwnedFd> {
    let mut attributes = ObjectAttributes { path: Pointer::to_read(path), fd: 0, file_flags: 0 };
    bpf_fd(OBJ_GET, &mut attributes).context("bpf(OBJ_GET, rw)", || path.to_string_lossy().into_owned())
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

// SAFETY: the fields of this command, without pointers.
unsafe impl Attributes for CreateAttributes {
    const COMMANDS: &'static [u32] = &[MAP_CREATE];
}

/// Creates a map.
///
/// # Errors
/// `EINVAL` or `E2BIG` if the definition does not suit the type, `EPERM` if the type needs another capability,
/// `ENOMEM`.
pub fn create_map(definition: MapDefinition<'_>) -> Result<OwnedFd> {
    create(definition, 0)
}

/// Creates a map of maps. `inner` is a sample of its inner maps, not needed afterwards.
///
/// # Errors
/// As [`create_map`], and `ENOTSUPP` for a type that the kernel does not allow as an inner map.
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
    bpf_fd(MAP_CREATE, &mut attributes).context("bpf(MAP_CREATE)", || definition.name.to_owned())
}

#[repr(C)]
struct ElementAttributes<'a> {
    fd: u32,
    pad: u32,
    key: Pointer<'a>,
    value: Pointer<'a>,
    flags: u64,
}

// SAFETY: the fields of this command; only `lookup_first` constructs them, with a key and a value of the map's sizes.
unsafe impl Attributes for ElementAttributes<'_> {
    const COMMANDS: &'static [u32] = &[MAP_LOOKUP_ELEM];
}

/// Reads element 0 of an array whose values have `N` bytes.
///
/// # Errors
/// `EINVAL` for any other map, `EPERM` for a process that may not use maps.
pub fn lookup_first<const N: usize>(array: BorrowedFd<'_>) -> Result<[u8; N]> {
    const ARRAY: u32 = 2;
    const CALL: &str = "bpf(MAP_LOOKUP_ELEM)";
    let described = map_info(array)?;
    if described.kind != ARRAY || described.value_size as usize != N {
        return Err(Errno::INVAL).context(CALL, String::new);
    }
    let (key, mut value) = (0_u32, [0_u8; N]);
    let mut attributes = ElementAttributes {
        fd: array.as_raw_fd().cast_unsigned(),
        pad: 0,
        key: Pointer::to_read(&key),
        value: Pointer::to_write(&mut value),
        flags: 0,
    };
    bpf(MAP_LOOKUP_ELEM, &mut attributes).context(CALL, String::new)?;
    Ok(value)
}
