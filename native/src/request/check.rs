//! Checks of names and paths.

use std::ffi::CString;

use crate::error::{Error, Result};
use crate::sys::path::is_canonical;
use crate::text::Quoted;

const NAME_MAX: usize = 128;
const UID_MAX: usize = 64;
/// A DNS-1123 subdomain.
const OBJECT_NAME_MAX: usize = 253;
/// A namespace has at most 63 characters, a claim's name 253.
const CLAIM_MAX: usize = 384;
const PATH_MAX: usize = 4095;
/// `NAME_MAX` of all filesystems used here.
const ELEMENT_MAX: usize = 255;

/// Makes the error for a field.
///
/// # Errors
/// [`Error::InvalidArgument`], always.
pub fn invalid<T>(field: &str, problem: impl std::fmt::Display) -> Result<T> {
    Err(Error::InvalidArgument(format!("{field}: {problem}")))
}

/// 1 to 128 ASCII letters, digits and characters of `extra`.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn name(field: &str, value: &str, extra: &str) -> Result<()> {
    word(field, value, NAME_MAX, extra)
}

/// 1 to 128 bytes of text without control characters: what CSI allows in an id.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn text(field: &str, value: &str) -> Result<()> {
    if value.is_empty() || value.len() > NAME_MAX {
        return invalid(field, format_args!("must have 1 to {NAME_MAX} bytes, has {}", value.len()));
    }
    match value.chars().find(|c| c.is_control()) {
        Some(bad) => invalid(field, format_args!("{bad:?} in {value:?} is not allowed: it is a control character")),
        None => Ok(()),
    }
}

/// The uid of a Kubernetes object.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn uid(field: &str, value: &str) -> Result<()> {
    word(field, value, UID_MAX, "_-")
}

/// The name of a Kubernetes object: 1 to 253 lower-case letters, digits, "-" and ".".
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn object_name(field: &str, value: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if (1..=OBJECT_NAME_MAX).contains(&value.len()) && value.chars().all(is_allowed) {
        return Ok(());
    }
    let value = Quoted(value);
    invalid(field, format_args!("{value} is no object's name: 1 to {OBJECT_NAME_MAX} of a-z, 0-9, \"-\" and \".\""))
}

/// A claim as "namespace/name"; `None` if it is empty.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn claim(field: &str, value: String) -> Result<Option<String>> {
    if value.is_empty() {
        return Ok(None);
    }
    word(field, &value, CLAIM_MAX, "-./")?;
    Ok(Some(value))
}

fn word(field: &str, value: &str, max: usize, extra: &str) -> Result<()> {
    if value.is_empty() || value.len() > max {
        return invalid(field, format_args!("must have 1 to {max} characters, has {}", value.len()));
    }
    match value.chars().find(|&c| !c.is_ascii_alphanumeric() && !extra.contains(c)) {
        Some(bad) => invalid(field, format_args!("{bad:?} in {value:?} is not allowed, only [A-Za-z0-9{extra}]")),
        None => Ok(()),
    }
}

/// A name that a bpffs accepts.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn file_name(field: &str, value: &str) -> Result<CString> {
    name(field, value, "_-")?;
    CString::new(value).or_else(|_| invalid(field, "has a NUL"))
}

/// An absolute path in canonical form.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn absolute_path(field: &str, path: &str) -> Result<()> {
    if path.len() > PATH_MAX {
        return invalid(field, format_args!("must have at most {PATH_MAX} bytes, has {}", path.len()));
    }
    if !is_canonical(path) {
        return invalid(
            field,
            format_args!("{} must be absolute, without \".\", \"..\" or empty elements", Quoted(path)),
        );
    }
    match path.split('/').find(|element| element.len() > ELEMENT_MAX) {
        Some(long) => invalid(field, format_args!("{} must have at most {ELEMENT_MAX} bytes", Quoted(long))),
        None => Ok(()),
    }
}

/// The path of a pin relative to a directory of a bpffs, whose names have no dots.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn relative_path(field: &str, path: &str) -> Result<()> {
    absolute_path(field, &format!("/{path}")).or_else(|_| {
        let rule = "must be relative, without \".\", \"..\" or empty elements";
        let path = Quoted(path);
        invalid(field, format_args!("{path} {rule}, with at most {PATH_MAX} bytes, {ELEMENT_MAX} in an element"))
    })?;
    if path.contains('.') {
        return invalid(field, format_args!("'.' in {} is not allowed: no pin has it in its name", Quoted(path)));
    }
    Ok(())
}
