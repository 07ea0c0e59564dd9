//! Marks: what a volume remembers of how it was made, in itself.
//!
//! The superblock of a volume is read-only, and so the times of its directory and of its files stay as they were set before,
//! whatever a pod tries. They hold digests in place of times: the last modification that of the volume's id; the last access
//! that of what the pod asked for, or of where the file comes from. Where a writable file is mounted over another, the
//! other one counts: the one on top belongs to a superblock that can be written.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Statx, StatxFlags, Timespec, Timestamps};
use sha2::{Digest, Sha256};

use crate::request::VolumeMap;
use crate::sys::{Context, Result};

/// On the directory of a volume that was made to carry descriptors, see [`super::carriers`]: the sticky bit, which means nothing
/// where nobody can change anything.
pub const CARRIES: u32 = 0o1000;

/// Bits of a mark that are kept as nanoseconds, of which there are 10^9 in a second; the others are seconds.
const LOW: u32 = 29;

/// A digest of a text: the first 8 bytes of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// What a directory or file is marked with. Any two times can be read as marks; they are a volume's if `volume` is the mark
/// of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Of the volume's id.
    pub volume: Mark,
    /// Of the request, or of the map's name; [`Mark::NOTHING`] where that is not known.
    pub origin: Mark,
}

impl Mark {
    /// What it says in place of a text that is not known.
    pub const NOTHING: Self = Self(0);

    /// The mark of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text).into();
        Self(digest[..8].iter().fold(0, |mark, &byte| mark << 8 | u64::from(byte)))
    }

    /// The mark of what a file comes from: a name and, where it is known, which of those that had it. No name has a slash.
    #[must_use]
    pub fn of_origin(file: &VolumeMap) -> Self {
        let VolumeMap { name, uid, .. } = file;
        uid.as_ref().map_or_else(|| Self::of(name), |uid| Self::of(&format!("{name}/{uid}")))
    }

    fn time(self) -> Timespec {
        Timespec { tv_sec: (self.0 >> LOW).cast_signed(), tv_nsec: (self.0 & ((1 << LOW) - 1)).cast_signed() }
    }

    fn at(seconds: i64, nanoseconds: u32) -> Self {
        Self(seconds.cast_unsigned() << LOW | u64::from(nanoseconds))
    }
}

impl Marks {
    /// What `statx(2)` is to be asked for.
    pub const WANTED: StatxFlags = StatxFlags::ATIME.union(StatxFlags::MTIME);

    /// Sets the marks of `name` in a directory.
    ///
    /// # Errors
    /// Whatever `utimensat(2)` says.
    pub fn write(self, directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        let times = Timestamps { last_access: self.origin.time(), last_modification: self.volume.time() };
        rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .context("utimensat", || name.to_string_lossy().into_owned())
    }

    /// Reads the marks of `name` in a directory.
    ///
    /// # Errors
    /// Whatever `statx(2)` says.
    pub fn read(directory: BorrowedFd<'_>, name: &CStr) -> Result<Self> {
        let stat = rustix::fs::statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, Self::WANTED);
        Ok(Self::from(&stat.context("statx", || name.to_string_lossy().into_owned())?))
    }

    /// What the volume of this id was marked to come from; `None` where that is not known.
    #[must_use]
    pub fn origin_in(self, volume_id: &str) -> Option<Mark> {
        (self.volume == Mark::of(volume_id) && self.origin != Mark::NOTHING).then_some(self.origin)
    }
}

impl From<&Statx> for Marks {
    fn from(stat: &Statx) -> Self {
        let (access, modification) = (stat.stx_atime, stat.stx_mtime);
        Self {
            volume: Mark::at(modification.tv_sec, modification.tv_nsec),
            origin: Mark::at(access.tv_sec, access.tv_nsec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_beginning_of_the_sha_256() {
        assert_eq!(Mark::of("abc"), Mark(0xba78_16bf_8f01_cfea));
    }

    #[test]
    fn a_mark_is_a_time_that_the_kernel_takes_and_gives_back() {
        for mark in [Mark(0), Mark(u64::MAX), Mark::of("flows"), Mark::of("")] {
            let time = mark.time();
            assert!((0..1_000_000_000).contains(&time.tv_nsec), "{time:?}");
            assert_eq!(Mark::at(time.tv_sec, u32::try_from(time.tv_nsec).unwrap_or_default()), mark);
        }
    }

    #[test]
    fn marks_of_another_volume_or_of_nothing_say_nothing() {
        let marks = Marks { volume: Mark::of("csi-1"), origin: Mark::of("flows") };
        assert_eq!(marks.origin_in("csi-1"), Some(Mark::of("flows")));
        assert_eq!(marks.origin_in("csi-2"), None);
        assert_eq!(Marks { origin: Mark::NOTHING, ..marks }.origin_in("csi-1"), None);
    }
}
