//! What the volume of a delegation records of it, in a file that the pod may read.

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use rustix::fs::{Mode, OFlags};

use super::observe::Mounted;
use crate::delegation::{Delegation, RECORD};
use crate::error::{Error, Result};
use crate::request::PodOwner;
use crate::sys::Context;

/// Bytes of the record: more than all names have.
const RECORD_MAX: u64 = 8 << 10;
/// Begins the line with the owner.
const OWNER: &str = "owner: ";

/// What a volume records of its delegation.
#[derive(Debug)]
pub struct Record {
    /// What the pod may do.
    pub allowed: Delegation,
    /// Whose pod it is.
    pub owner: PodOwner,
}

impl Record {
    fn read(text: &str) -> Option<Self> {
        let owner = text.lines().find_map(|line| line.strip_prefix(OWNER))?;
        Some(Self { allowed: Delegation::read(text)?, owner: PodOwner::read(owner)? })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{OWNER}{}", self.allowed, self.owner)
    }
}

impl Mounted {
    /// What a delegation allows, and whose it is, as its record says.
    ///
    /// # Errors
    /// [`Error::Unusable`] if another version of the driver has written the record.
    pub fn delegation(&self) -> Result<Record> {
        let object = || RECORD.to_string_lossy().into_owned();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let record = rustix::fs::openat(&self.root, RECORD, flags, Mode::empty()).context("openat", object)?;
        let mut text = String::new();
        File::from(record).take(RECORD_MAX).read_to_string(&mut text).context("read", object)?;
        let problem = || format!("another version of the driver has recorded what {:?} delegates", self.shown_id());
        Record::read(&text).ok_or_else(|| Error::Unusable(problem()))
    }
}
