//! Small BPF programs from bare instructions, and a BPF link.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bpffs_pinner::sys::bpf as pinner_bpf;
use rustix::io::Result;

use super::map::Attributes;

const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const LINK_CREATE: i32 = 28;

const SOCKET_FILTER: u32 = 1;
const SK_LOOKUP: u32 = 30;
const ATTACH_SK_LOOKUP: u32 = 36;

/// `struct bpf_insn`.
const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    code as u64
        | ((destination | source << 4) as u64) << 8
        | (offset.cast_unsigned() as u64) << 16
        | (immediate.cast_unsigned() as u64) << 32
}

/// `r0 = value; exit`.
pub const fn give(value: i32) -> [u64; 2] {
    [instruction(0xb7, 0, 0, 0, value), instruction(0x95, 0, 0, 0, 0)]
}

/// `map[1] = value`, through the given descriptor, whatever its mode.
fn set(map: BorrowedFd<'_>, value: i32) -> Vec<u64> {
    let mut program = vec![instruction(0x18, 1, 1, 0, map.as_raw_fd()), 0];
    program.extend(update_of_first(value));
    program.extend(give(0));
    program
}

/// `outer[1][1] = value`: what the owner of a map of maps does with the inner maps.
fn set_inner(outer: BorrowedFd<'_>, value: i32) -> Vec<u64> {
    const MAP_LOOKUP_ELEM: i32 = 1;
    let mut program = vec![
        instruction(0x62, 10, 0, -4, 1),
        instruction(0x18, 1, 1, 0, outer.as_raw_fd()),
        0,
        instruction(0xbf, 2, 10, 0, 0),
        instruction(0x07, 2, 0, 0, -4),
        instruction(0x85, 0, 0, 0, MAP_LOOKUP_ELEM),
        // Skip the rest if there is no inner map.
        instruction(0x15, 0, 0, 9, 0),
        instruction(0xbf, 1, 0, 0, 0),
    ];
    program.extend(update_of_first(value));
    program.extend(give(0));
    program
}

/// `*r1[1] = value`.
fn update_of_first(value: i32) -> [u64; 8] {
    const MAP_UPDATE_ELEM: i32 = 2;
    [
        instruction(0x62, 10, 0, -4, 1),
        instruction(0x7a, 10, 0, -16, value),
        instruction(0xbf, 2, 10, 0, 0),
        instruction(0x07, 2, 0, 0, -4),
        instruction(0xbf, 3, 10, 0, 0),
        instruction(0x07, 3, 0, 0, -16),
        instruction(0xb7, 4, 0, 0, 0),
        instruction(0x85, 0, 0, 0, MAP_UPDATE_ELEM),
    ]
}

fn load(kind: u32, name: &str, instructions: &[u64], attach: u32) -> Result<OwnedFd> {
    let mut attributes = Attributes::new()
        .int(0, kind)
        .int(4, u32::try_from(instructions.len()).unwrap())
        .pointer(8, instructions)
        .pointer(16, c"Apache-2.0")
        .int(68, attach);
    for (index, byte) in name.bytes().enumerate() {
        attributes = attributes.int(48 + index / 4 * 4, u32::from(byte) << (index % 4 * 8));
    }
    attributes.open(PROG_LOAD)
}

/// A socket filter that writes to the map when it runs.
pub fn writer(name: &str, map: BorrowedFd<'_>, value: i32) -> Result<OwnedFd> {
    load(SOCKET_FILTER, name, &set(map, value), 0)
}

/// A socket filter that writes to the inner map of this map when it runs.
pub fn inner_writer(name: &str, outer: BorrowedFd<'_>, value: i32) -> Result<OwnedFd> {
    load(SOCKET_FILTER, name, &set_inner(outer, value), 0)
}

/// Binds a map to a program.
pub fn bind(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> Result<()> {
    const PROG_BIND_MAP: i32 = 35;
    Attributes::new().fd(0, program).fd(4, map).call(PROG_BIND_MAP).map(|_| ())
}

/// A socket filter without a map.
pub fn idle(name: &str) -> OwnedFd {
    load(SOCKET_FILTER, name, &give(0), 0).unwrap()
}

/// Runs a socket filter once.
pub fn run(program: BorrowedFd<'_>) -> Result<()> {
    let packet = [0_u8; 64];
    Attributes::new().fd(0, program).int(8, 64).pointer(16, &packet).int(32, 1).call(PROG_TEST_RUN).map(|_| ())
}

/// A BPF link of a program that passes every socket lookup of this thread's network namespace.
pub fn link() -> Result<OwnedFd> {
    let program = load(SK_LOOKUP, "pass", &give(1), ATTACH_SK_LOOKUP)?;
    let network = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    Attributes::new().fd(0, program.as_fd()).fd(4, network.as_fd()).int(8, ATTACH_SK_LOOKUP).open(LINK_CREATE)
}

pub fn id(program: BorrowedFd<'_>) -> u32 {
    pinner_bpf::program_info(program).unwrap().id
}

pub fn tag(program: BorrowedFd<'_>) -> String {
    pinner_bpf::program_info(program).unwrap().tag
}
