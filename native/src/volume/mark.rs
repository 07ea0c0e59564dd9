//! Marks: what a volume records about how it was made.
//!
//! A volume's superblock is read-only, so no pod can change the times of its directory and files. These times hold
//! digests: the modification time that of the volume's id; the access time that of the pod's request, for the
//! directory, or of a file's origin. Where a writable file is mounted over a pin, the pin's times count, because the
//! file's own superblock is writable.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Statx, StatxFlags, Timespec, Timestamps};
use sha2::{Digest, Sha256};

use crate::request::VolumeMap;
use crate::sys::{Context, Result};

/// Mode bit on the directory of a volume that may carry descriptors, see [`super::carriers`]. It is the sticky bit,
/// which has no effect in a directory that nobody can change.
pub const CARRIES: u32 = 0o1000;

/// How many low bits of a mark are kept as nanoseconds, of which a second has 10^9; the others are seconds.
const LOW: u32 = 29;

/// A digest of a text: the first 8 bytes of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// The marks of a directory or file. Any two times parse as marks; they are a volume's if `volume` is the mark of its
/// id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Of the volume's id.
    pub volume: Mark,
    /// Of the request, or of the file's origin; [`Mark::NOTHING`] if unknown.
    pub origin: Mark,
}

impl Mark {
    /// Stands for an unknown text.
    pub const NOTHING: Self = Self(0);

    /// The mark of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text).into();
        Self(digest[..8].iter().fold(0, |mark, &byte| mark << 8 | u64::from(byte)))
    }

    /// The mark of a file's origin: its `BpfMap`'s name and, if known, uid. Names have no slash.
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
    /// What to ask `statx(2)` for.
    pub const WANTED: StatxFlags = StatxFlags::ATIME.union(StatxFlags::MTIME);

    /// Writes the marks of `name` in `directory`.
    ///
    /// # Errors
    /// If `utimensat(2)` fails.
    pub fn write(self, directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        let times = Timestamps { last_access: self.origin.time(), last_modification: self.volume.time() };
        rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .context("utimensat", || name.to_string_lossy().into_owned())
    }

    /// Reads the marks of `name` in `directory`.
    ///
    /// # Errors
    /// If `statx(2)` fails.
    pub fn read(directory: BorrowedFd<'_>, name: &CStr) -> Result<Self> {
        let stat = rustix::fs::statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, Self::WANTED);
        Ok(Self::from(&stat.context("statx", || name.to_string_lossy().into_owned())?))
    }

    /// The origin, if these are marks of the volume with this id and it is known.
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
