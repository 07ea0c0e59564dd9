//! The mount table as text. Not for the way of a publish: its cost grows with the table.
//!
//! <https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>

use std::ffi::OsString;
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, StatxFlags};

use super::SOURCE_PREFIX;
use crate::store::Device;
use crate::sys::{Context, Result};

const TABLE: &str = "/proc/thread-self/mountinfo";

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As statx(2) gives it for anything on the mount.
    pub id: u64,
    /// The mount that it is mounted on.
    pub parent: u64,
    /// The filesystem.
    pub device: Device,
    /// Whether it shows the whole filesystem, and not a directory or file of it.
    pub is_whole: bool,
    /// Where it is mounted.
    pub target: PathBuf,
    /// The kind of filesystem.
    pub file_system: String,
    /// Where it says it comes from; `None` on kernels that do not show that of a bpffs.
    pub source: Option<String>,
    /// Whether its superblock is read-only.
    pub is_read_only: bool,
}

impl Row {
    /// The id of the volume that the mount says to belong to.
    pub fn volume_id(&self) -> Option<&str> {
        self.source.as_deref()?.strip_prefix(SOURCE_PREFIX)
    }
}

/// All mounts that this thread sees, in the order of the table.
///
/// # Errors
/// When `/proc` is not there.
pub fn read() -> Result<Vec<Row>> {
    let table = fs::read(TABLE).call("read", || TABLE.to_owned())?;
    Ok(table.split(|&byte| byte == b'\n').filter_map(row).collect())
}

/// The one mount that `place` is on; `None` when it is mounted no more.
///
/// # Errors
/// Whatever `statx(2)` says.
pub fn find<'a>(rows: &'a [Row], place: BorrowedFd<'_>) -> Result<Option<&'a Row>> {
    // STATX_MNT_ID, Linux 5.8.
    let wanted = StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(place, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted);
    let id = stat.call("statx(mnt_id)", String::new)?.stx_mnt_id;
    Ok(rows.iter().find(|row| row.id == id))
}

pub(super) fn row(line: &[u8]) -> Option<Row> {
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let mut fields = line.split(|&byte| byte == b' ');
    let id = text(fields.next()?).parse().ok()?;
    let parent = text(fields.next()?).parse().ok()?;
    let device = text(fields.next()?);
    let (major, minor) = device.split_once(':')?;
    let root = fields.next()?;
    let target = fields.next()?;
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let file_system = text(fields.next()?);
    let source = text(fields.next()?);
    let is_read_only = fields.next()?.split(|&byte| byte == b',').any(|option| option == b"ro");
    Some(Row {
        id,
        parent,
        device: (major.parse().ok()?, minor.parse().ok()?),
        is_whole: root == b"/",
        target: PathBuf::from(unescape(target)),
        source: (file_system != "bpf" || source != "none").then_some(source),
        file_system,
        is_read_only,
    })
}

/// Space, tab, newline and backslash stand as three octal digits behind a backslash.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if byte == b'\\' => {
                bytes.push(escaped);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}
