//! The command line.

use std::path::{Path, PathBuf};

/// What the command line asks for.
pub struct Options {
    pub path: PathBuf,
    pub lookup: Option<Vec<u8>>,
    pub update: Option<Update>,
    pub expect_denied: bool,
}

/// An entry to write.
pub struct Update {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// `None` if the arguments make no sense.
pub fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let (mut lookup, mut update, mut expect_denied) = (None, None, false);
    let mut places = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--lookup" => lookup = Some(unhex(&arguments.next()?)?),
            "--update" => update = Some(parse_update(&arguments.next()?)?),
            "--expect-denied" => expect_denied = true,
            flag if flag.starts_with("--") => return None,
            _ => places.push(argument),
        }
    }
    let [directory, name] = places.as_slice() else {
        return None;
    };
    if expect_denied && update.is_none() {
        return None;
    }
    Some(Options {
        path: Path::new(directory).join(name),
        lookup,
        update,
        expect_denied,
    })
}

fn parse_update(text: &str) -> Option<Update> {
    let (key, value) = text.split_once('=')?;
    Some(Update {
        key: unhex(key)?,
        value: unhex(value)?,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
