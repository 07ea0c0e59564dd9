//! A minimal client of a map, for the examples, the demo and the tests. It runs as any user.
//!
//! ```text
//! map create PIN          creates and pins a hash of u32 to u64
//! map load PIN KEY        as a loader does: uses the map that is pinned, or creates and pins one; then as tick
//! map read PIN            opens it read-only, prints "key=value" for each element
//! map watch PIN           prints all elements on one line whenever they have changed; waits for the pin
//! map write PIN KEY VALUE opens it for writing and sets an element
//! map tick PIN KEY        opens it for writing and adds one to an element each second, from 0 on if there is none
//! map push PIN            opens a queue of u64 for writing and pushes 1, 2, 3 and so on, one each second
//! map pop PIN             opens a queue of u64 for writing and prints what it pops
//! map attach BPFFS NAME   counts the frames of an interface by a program that it loads with a BPF token; as watch
//! map count               prints how many maps the kernel has
//! map try                 reads definitions from stdin and prints the kernel's answer to each; see `attempt`
//! ```
//! On failure, prints one line to stderr that names the system call and the errno, and exits with status 1.

mod attach;
mod attempt;
mod element;
mod endless;

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use bpffs_pinner::sys::bpf::{self, MapDefinition};
use bpffs_pinner::sys::{Context, Result};
use element::{LOOKUP, NEXT_KEY, UPDATE, element};
use rustix::io::Errno;

fn create(pin: &CString) -> Result<()> {
    let definition = MapDefinition { kind: 1, key_size: 4, value_size: 8, max_entries: 128, flags: 0, name: "demo" };
    bpf::pin(bpf::create_map(definition)?.as_fd(), pin)
}

fn load(pin: &CString, key: u32) -> Result<()> {
    if bpf::open_pin(pin).is_err_and(|error| error.errno == Errno::NOENT) {
        create(pin)?;
    }
    endless::tick(pin, key)
}

/// `key=value` of each element.
fn elements(map: &OwnedFd) -> Result<Vec<String>> {
    let (mut elements, mut last, mut key) = (Vec::new(), None, 0_u32);
    loop {
        match element(NEXT_KEY, map.as_fd(), last.as_ref(), &mut key) {
            Err(Errno::NOENT) => return Ok(elements),
            other => other.context("bpf(MAP_GET_NEXT_KEY)", String::new)?,
        }
        let mut value = 0_u64;
        element(LOOKUP, map.as_fd(), Some(&key), &mut value).context("bpf(MAP_LOOKUP_ELEM)", || key.to_string())?;
        elements.push(format!("{key}={value}"));
        last = Some(key);
    }
}

fn read(pin: &CString) -> Result<()> {
    for element in elements(&bpf::open_pin(pin)?)? {
        println!("{element}");
    }
    Ok(())
}

fn write(pin: &CString, key: u32, mut value: u64) -> Result<()> {
    let map = bpf::open_pin_writable(pin)?;
    element(UPDATE, map.as_fd(), Some(&key), &mut value).context("bpf(MAP_UPDATE_ELEM)", || key.to_string())
}

fn count() -> Result<()> {
    println!("{}", bpf::map_ids(0).collect::<Result<Vec<_>>>()?.len());
    Ok(())
}

const USAGE: &str = "usage: map create PIN | map load PIN KEY | map read PIN | map watch PIN | map write PIN KEY VALUE | \
    map tick PIN KEY | map push PIN | map pop PIN | \
    map attach BPFFS NAME | map count | map try";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pin = CString::new(arguments.get(1).map(String::as_str).unwrap_or_default()).unwrap_or_default();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    let key = number(2).and_then(|key| u32::try_from(key).ok());
    let done = match (arguments.first().map(String::as_str), key, number(3)) {
        (Some("count"), None, None) => count(),
        (Some("try"), None, None) => attempt::try_all(),
        (Some("create"), None, None) => create(&pin),
        (Some("load"), Some(key), None) => load(&pin, key),
        (Some("read"), None, None) => read(&pin),
        (Some("watch"), None, None) => endless::watch(&pin),
        (Some("write"), Some(key), Some(value)) => write(&pin, key, value),
        (Some("tick"), Some(key), None) => endless::tick(&pin, key),
        (Some("push"), None, None) => endless::push(&pin),
        (Some("pop"), None, None) => endless::pop(&pin),
        (Some("attach"), _, None) if arguments.len() == 3 => attach::attach(&arguments[1], &arguments[2]),
        _ => {
            eprintln!("{USAGE}");
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
