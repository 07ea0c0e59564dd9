//! Creates maps, and reads an element.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::call::{Attributes, MAP_CREATE, MAP_LOOKUP_ELEM, Pointer, bpf, bpf_fd};
use super::info::{NAME_LEN, map_info};
use crate::sys::{Context, Result};

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
