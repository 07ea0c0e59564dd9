//! `map try`: what the kernel says of definitions.

use std::io::BufRead;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use bpffs_pinner::sys::{Context, Result, bpf, last_errno};
use rustix::io::Errno;

use crate::element;

const MAP_CREATE: libc::c_int = 0;

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
    let mut value = vec![0_u8; value_size.next_multiple_of(8) as usize * 1024];
    for number in 0..entries {
        key[(key_size - 4) as usize..].copy_from_slice(&number.to_be_bytes());
        // SAFETY: key and value are as long as the map's, on every CPU.
        unsafe { element::raw(element::UPDATE, map, key.as_ptr(), value.as_mut_ptr()) }
            .context("bpf(MAP_UPDATE_ELEM)", || number.to_string())?;
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
        _ => Err(Errno::INVAL),
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

pub fn try_all() -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        println!("{}", try_line(&line.context("read", || "stdin".to_owned())?)?);
    }
    Ok(())
}
