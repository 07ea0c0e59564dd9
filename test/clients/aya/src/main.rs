//! Reads and writes a map of a volume with aya:
//!
//! ```text
//! aya-client [--lookup KEY] [--update KEY=VALUE [--expect-denied]] DIRECTORY NAME
//! ```
//!
//! Keys and values are hexadecimal. The exit status is 0, or 1 if the kernel did not answer as expected, or 64.

mod options;
mod pin;
mod table;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use aya::maps::{MapData, MapError};

use crate::options::{Options, Update, hex};
use crate::table::Table;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let Some(options) = options::parse(std::env::args().skip(1)) else {
        eprintln!(
            "usage: aya-client [--lookup KEY] [--update KEY=VALUE [--expect-denied]] DIRECTORY NAME"
        );
        return ExitCode::from(64);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aya-client: {}: {error}", options.path.display());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let pin =
        pin::open_read_only(&options.path).map_err(|error| format!("open for reading: {error}"))?;
    let mut table = table::open(MapData::from_fd(pin)?)?;
    match &options.update {
        Some(change) if options.expect_denied => update_denied(&options.path, &mut *table, change)?,
        Some(change) => update(&options.path, change)?,
        None => {}
    }
    let entries = match &options.lookup {
        Some(key) => vec![(
            key.clone(),
            table
                .lookup(key)
                .map_err(|error| with_cause("lookup", &error))?,
        )],
        None => table
            .entries()
            .map_err(|error| with_cause("iterate", &error))?,
    };
    let mut out = io::stdout().lock();
    for (key, value) in entries {
        writeln!(out, "{} {}", hex(&key), hex(&value))?;
    }
    Ok(())
}

fn update(path: &Path, change: &Update) -> Result<()> {
    let data = MapData::from_pin(path).map_err(|error| with_cause("open for writing", &error))?;
    let mut table = table::open(data)?;
    table
        .update(&change.key, &change.value)
        .map_err(|error| with_cause("update", &error))?;
    Ok(())
}

/// Tries both ways to write: a descriptor of its own, and the one for reading.
fn update_denied(path: &Path, reading: &mut dyn Table, change: &Update) -> Result<()> {
    denied("open for writing", MapData::from_pin(path).map(drop))?;
    denied(
        "update through a read-only descriptor",
        reading.update(&change.key, &change.value),
    )
}

/// Makes an error of anything but a refusal, and reports the refusal.
fn denied(what: &str, result: std::result::Result<(), MapError>) -> Result<()> {
    let Err(error) = result else {
        return Err(format!("{what}: was not refused").into());
    };
    let name = match errno(&error) {
        Some(libc::EPERM) => "EPERM",
        Some(libc::EACCES) => "EACCES",
        Some(libc::EROFS) => "EROFS",
        _ => return Err(format!("{}, but was not refused", with_cause(what, &error)).into()),
    };
    eprintln!("{what}: refused with {name}");
    Ok(())
}

fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(call) => call.io_error.raw_os_error(),
        _ => None,
    }
}

/// An aya error names the call, and its cause the errno.
fn with_cause(what: &str, error: &MapError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{what}: {error}: {cause}"),
        None => format!("{what}: {error}"),
    }
}
