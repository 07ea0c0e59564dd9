//! A minimal client of a map, for the demo and the tests, which run it as any user.
//!
//! ```text
//! map create PIN          creates and pins a hash of u32 to u64, as a loader does
//! map read PIN            opens it read-only, prints "key=value" for each element
//! map write PIN KEY VALUE opens it for writing and sets an element
//! map tick PIN KEY        opens it for writing and adds one to an element each second, from 0 on if there is none
//! map count               prints how many maps the kernel has
//! map try                 reads definitions from stdin and prints the kernel's answer to each; see `try_line`
//! ```
//! On failure, prints one line to stderr that names the system call and the errno, and exits with status 1.

use std::ffi::CString;
use std::io::BufRead;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use bpffs_pinner::sys::bpf::{self, MapDefinition};
use bpffs_pinner::sys::{Context, Result, last_errno};

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_GET_NEXT_KEY: libc::c_int = 4;

/// The first fields of `union bpf_attr` for commands on elements.
#[repr(C)]
struct Element {
    fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Runs a command on an element; for `MAP_GET_NEXT_KEY`, `value` is the next key.
fn element<V>(command: libc::c_int, map: BorrowedFd<'_>, key: Option<&u32>, value: &mut V) -> rustix::io::Result<()> {
    let key = key.map_or(0, |key| std::ptr::from_ref(key) as u64);
    let fd = map.as_raw_fd().cast_unsigned();
    let element = Element { fd, pad: 0, key, value: std::ptr::from_mut(value) as u64, flags: 0 };
    // SAFETY: key and value live through the call and have the sizes of the maps that `create` makes.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(&element), size_of::<Element>()) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

fn create(pin: &CString) -> Result<()> {
    let definition = MapDefinition { kind: 1, key_size: 4, value_size: 8, max_entries: 128, flags: 0, name: "demo" };
    bpf::pin(bpf::create_map(definition)?.as_fd(), pin)
}

fn read(pin: &CString) -> Result<()> {
    let map = bpf::open_pin(pin)?;
    let (mut last, mut key) = (None, 0_u32);
    loop {
        match element(MAP_GET_NEXT_KEY, map.as_fd(), last.as_ref(), &mut key) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            other => other.context("bpf(MAP_GET_NEXT_KEY)", String::new)?,
        }
        let mut value = 0_u64;
        element(MAP_LOOKUP_ELEM, map.as_fd(), Some(&key), &mut value)
            .context("bpf(MAP_LOOKUP_ELEM)", || key.to_string())?;
        println!("{key}={value}");
        last = Some(key);
    }
}

fn write(pin: &CString, key: u32, mut value: u64) -> Result<()> {
    let map = bpf::open_pin_writable(pin)?;
    element(MAP_UPDATE_ELEM, map.as_fd(), Some(&key), &mut value).context("bpf(MAP_UPDATE_ELEM)", || key.to_string())
}

fn tick(pin: &CString, key: u32) -> Result<()> {
    let map = bpf::open_pin_writable(pin)?;
    loop {
        let mut value = 0_u64;
        match element(MAP_LOOKUP_ELEM, map.as_fd(), Some(&key), &mut value) {
            Err(rustix::io::Errno::NOENT) => {}
            other => other.context("bpf(MAP_LOOKUP_ELEM)", || key.to_string())?,
        }
        value += 1;
        element(MAP_UPDATE_ELEM, map.as_fd(), Some(&key), &mut value)
            .context("bpf(MAP_UPDATE_ELEM)", || key.to_string())?;
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

fn count() -> Result<()> {
    println!("{}", bpf::map_ids(0).collect::<Result<Vec<_>>>()?.len());
    Ok(())
}

/// The first fields of `union bpf_attr` for `MAP_CREATE`: `[type, key, value, entries, flags, inner fd]`.
type Definition = [u32; 6];

/// Creates a map of exactly these numbers, so that only the kernel checks them.
fn try_create(definition: &Definition) -> rustix::io::Result<OwnedFd> {
    // SAFETY: the array lives through the call, and the kernel takes the rest as zero.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, MAP_CREATE, definition.as_ptr(), size_of::<Definition>()) };
    let fd = i32::try_from(fd).ok().filter(|&fd| fd >= 0).ok_or_else(last_errno)?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets as many elements as the map takes. Keys count in their last four bytes; a trie's prefix is the whole key.
fn fill(map: BorrowedFd<'_>, &[kind, key_size, value_size, entries, ..]: &Definition) -> Result<()> {
    const LPM_TRIE: u32 = 11;
    let mut key = vec![0_u8; key_size as usize];
    if kind == LPM_TRIE {
        key[..4].copy_from_slice(&((key_size - 4) * 8).to_ne_bytes());
    }
    // Room for 1024 CPUs.
    let value = vec![0_u8; value_size.next_multiple_of(8) as usize * 1024];
    for number in 0..entries {
        key[(key_size - 4) as usize..].copy_from_slice(&number.to_be_bytes());
        let fd = map.as_raw_fd().cast_unsigned();
        let element = Element { fd, pad: 0, key: key.as_ptr() as u64, value: value.as_ptr() as u64, flags: 0 };
        // SAFETY: key and value live through the call and are as long as the map's, on every CPU.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, MAP_UPDATE_ELEM, std::ptr::from_ref(&element), size_of::<Element>())
        };
        if result < 0 {
            return Err(last_errno()).context("bpf(MAP_UPDATE_ELEM)", || number.to_string());
        }
    }
    Ok(())
}

/// Tries `TYPE KEY VALUE ENTRIES FLAGS`, in the kernel's numbers, followed by the same five for inner maps, if any, and
/// by `fill` to set all elements. Returns `ok MEMORY`, or the number of the errno.
fn try_line(line: &str) -> Result<String> {
    let mut words: Vec<_> = line.split_whitespace().collect();
    let full = words.pop_if(|word| *word == "fill").is_some();
    let numbers: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let create = |numbers: &[u32], inner: u32| {
        let mut definition = Definition::default();
        definition[..5].copy_from_slice(numbers);
        definition[5] = inner;
        try_create(&definition).map(|fd| (fd, definition))
    };
    let made = match numbers.len() {
        5 => create(&numbers, 0),
        10 => create(&numbers[5..], 0).and_then(|(inner, _)| create(&numbers[..5], inner.as_raw_fd().cast_unsigned())),
        _ => Err(rustix::io::Errno::INVAL),
    };
    match made {
        Ok((map, definition)) => {
            if full {
                fill(map.as_fd(), &definition)?;
            }
            Ok(format!("ok {}", bpf::map_memory(map.as_fd())?))
        }
        Err(errno) => Ok(errno.raw_os_error().to_string()),
    }
}

fn try_all() -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        println!("{}", try_line(&line.context("read", || "stdin".to_owned())?)?);
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pin = CString::new(arguments.get(1).map(String::as_str).unwrap_or_default()).unwrap_or_default();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    let key = number(2).and_then(|key| u32::try_from(key).ok());
    let done = match (arguments.first().map(String::as_str), key, number(3)) {
        (Some("count"), None, None) => count(),
        (Some("try"), None, None) => try_all(),
        (Some("create"), None, None) => create(&pin),
        (Some("read"), None, None) => read(&pin),
        (Some("write"), Some(key), Some(value)) => write(&pin, key, value),
        (Some("tick"), Some(key), None) => tick(&pin, key),
        _ => {
            eprintln!(
                "usage: map create PIN | map read PIN | map write PIN KEY VALUE | map tick PIN KEY | map count | map try"
            );
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
