//! The commands that run until they are killed.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::Duration;

use bpffs_pinner::sys::bpf;
use bpffs_pinner::sys::{Context, Result};
use rustix::io::Errno;

use crate::element::{LOOKUP, LOOKUP_AND_DELETE, UPDATE, element};
use crate::elements;

const SECOND: Duration = Duration::from_secs(1);

pub fn tick(pin: &CString, key: u32) -> Result<()> {
    let map = bpf::open_pin_writable(pin)?;
    loop {
        let mut value = 0_u64;
        match element(LOOKUP, map.as_fd(), Some(&key), &mut value) {
            Err(Errno::NOENT) => {}
            other => other.context("bpf(MAP_LOOKUP_ELEM)", || key.to_string())?,
        }
        value += 1;
        element(UPDATE, map.as_fd(), Some(&key), &mut value).context("bpf(MAP_UPDATE_ELEM)", || key.to_string())?;
        sleep(SECOND);
    }
}

/// Prints the entries whenever they change: an empty line when there are none any more, and nothing before the first. Opens the pin each
/// time, because the volume may have another map by then.
pub fn watch(pin: &CString) -> Result<()> {
    let mut last = String::new();
    loop {
        let line = match bpf::open_pin(pin) {
            Ok(map) => elements(&map)?.join(" "),
            Err(error) if error.errno == Errno::NOENT => String::new(),
            Err(error) => return Err(error),
        };
        if line != last {
            println!("{line}");
            last = line;
        }
        sleep(SECOND);
    }
}

pub fn push(pin: &CString) -> Result<()> {
    let queue = bpf::open_pin_writable(pin)?;
    for mut value in 1_u64.. {
        match element(UPDATE, queue.as_fd(), None, &mut value) {
            Err(Errno::TOOBIG) => {}
            other => other.context("bpf(MAP_UPDATE_ELEM)", || value.to_string())?,
        }
        sleep(SECOND);
    }
    Ok(())
}

pub fn pop(pin: &CString) -> Result<()> {
    let queue = bpf::open_pin_writable(pin)?;
    let mut value = 0_u64;
    loop {
        match element(LOOKUP_AND_DELETE, queue.as_fd(), None, &mut value) {
            Ok(()) => println!("{value}"),
            Err(Errno::NOENT) => sleep(SECOND),
            other => other.context("bpf(MAP_LOOKUP_AND_DELETE_ELEM)", String::new)?,
        }
    }
}
