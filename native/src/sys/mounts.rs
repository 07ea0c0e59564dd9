//! Looks at mounts without asking their filesystems: if a remote one's server is gone, the question would hang for
//! ever.
//!
//! Since Linux 6.13 `statmount(2)` tells all of one mount. Before, the whole mount table must be read, at a cost that
//! grows with it.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::mountinfo::{Kind, Mount, Row, read};
use super::{Context, Result, statmount};

/// Where the information comes from.
#[derive(Debug)]
pub enum Mounts {
    /// `statmount(2)`, mount by mount.
    OneByOne,
    /// The mount table, as read.
    Table(Vec<Row>),
}

impl Mounts {
    /// Looks at the mount that `place` is on; `None` if that is not mounted any more.
    ///
    /// # Errors
    /// If neither way works.
    pub fn find(place: BorrowedFd<'_>) -> Result<(Self, Option<Mount>)> {
        match statmount::status(place) {
            Ok(mount) if mount.source.is_some() || mount.kind == Kind::Other => Ok((Self::OneByOne, Some(mount))),
            _ => {
                let table = read()?;
                let id = id(place)?;
                let found = table.iter().find(|row| row.mount.id == id).map(|row| row.mount.clone());
                Ok((Self::Table(table), found))
            }
        }
    }

    /// The mount that `mount` is mounted on; `None` if it is not in this mount namespace.
    #[must_use]
    pub fn beneath(&self, mount: &Mount) -> Option<Mount> {
        match self {
            Self::OneByOne => statmount::status_by_id(mount.parent).ok(),
            Self::Table(table) => table.iter().find(|row| row.mount.id == mount.parent).map(|row| row.mount.clone()),
        }
    }
}

/// The id, as in the mount table, of the mount that `place` is on.
fn id(place: BorrowedFd<'_>) -> Result<u64> {
    // STATX_MNT_ID, since Linux 5.8.
    let wanted = StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(place, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted);
    let stat = stat.context("statx(mnt_id)", String::new)?;
    if stat.stx_mask & wanted.bits() == 0 { Err(Errno::NOSYS) } else { Ok(stat.stx_mnt_id) }
        .context("statx(mnt_id)", String::new)
}
