//! The mount table: <https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::{Context, Result};

const TABLE: &str = "/proc/thread-self/mountinfo";

/// A filesystem's device number: major and minor.
pub type Device = (u32, u32);

/// A filesystem type, as far as volumes use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bpffs.
    Bpf,
    /// A tmpfs.
    Tmpfs,
    /// Anything else.
    Other,
}

/// What the kernel says of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its id; mountinfo and `statmount(2)` number mounts differently.
    pub id: u64,
    /// The id of the mount that it is mounted on.
    pub parent: u64,
    /// Its filesystem's device number.
    pub device: Device,
    /// Its filesystem type.
    pub kind: Kind,
    /// Whether its superblock is read-only.
    pub is_read_only: bool,
    /// Its source; `None` for a bpffs on kernels that do not show it (before 5.17).
    pub source: Option<String>,
}

/// A line of the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The mount point.
    pub target: PathBuf,
    /// The rest of the line.
    pub mount: Mount,
}

/// All mounts that this thread sees, in the order of the table.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn read() -> Result<Vec<Row>> {
    let table = fs::read(TABLE).context("read", || TABLE.to_owned())?;
    Ok(table.split(|&byte| byte == b'\n').filter_map(row).collect())
}

/// Parses a line; `None` if it is malformed.
#[must_use]
pub fn row(line: &[u8]) -> Option<Row> {
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let mut fields = line.split(|&byte| byte == b' ');
    let id = text(fields.next()?).parse().ok()?;
    let parent = text(fields.next()?).parse().ok()?;
    let device = text(fields.next()?);
    let (major, minor) = device.split_once(':')?;
    let target = fields.nth(1)?;
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = match fields.next()? {
        b"bpf" => Kind::Bpf,
        b"tmpfs" => Kind::Tmpfs,
        _ => Kind::Other,
    };
    let source = String::from_utf8_lossy(&unescape(fields.next()?)).into_owned();
    let is_read_only = fields.next()?.split(|&byte| byte == b',').any(|option| option == b"ro");
    let mount = Mount {
        id,
        parent,
        device: (major.parse().ok()?, minor.parse().ok()?),
        kind,
        is_read_only,
        source: (kind != Kind::Bpf || source != "none").then_some(source),
    };
    Some(Row { target: PathBuf::from(OsString::from_vec(unescape(target))), mount })
}

/// The kernel writes space, tab, newline, backslash and, in a source, `#` as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        let escaped = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match escaped {
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
    bytes
}

impl Kind {
    /// The type with this magic number.
    #[must_use]
    pub const fn of_magic(magic: u32) -> Self {
        // include/uapi/linux/magic.h: BPF_FS_MAGIC, TMPFS_MAGIC.
        match magic {
            0xcafe_4a11 => Self::Bpf,
            0x0102_1994 => Self::Tmpfs,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes() {
        let line = b"90 25 0:51 /volume /k/a\\040b/mount rw shared:7 master:2 - bpf csi-bpffs:a\\040\\043b ro,mode=700";
        let found = row(line);
        assert_eq!(found.as_ref().map(|row| row.target.as_path()), Some("/k/a b/mount".as_ref()));
        let mount = Mount {
            id: 90,
            parent: 25,
            device: (0, 51),
            kind: Kind::Bpf,
            is_read_only: true,
            source: Some("csi-bpffs:a #b".to_owned()),
        };
        assert_eq!(found.map(|row| row.mount), Some(mount));
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        for line in ["", "95 25", "95 25 0 / /mnt rw - bpf bpf rw", "x 25 0:1 / /mnt rw - bpf bpf rw"] {
            assert_eq!(row(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_kernel_that_shows_no_source_of_a_bpffs_says_none() {
        let source = |line: &str| row(line.as_bytes()).map(|row| row.mount.source);
        assert_eq!(source("90 25 0:51 / /m rw - bpf none ro"), Some(None));
        assert_eq!(source("90 25 0:51 / /m rw - tmpfs none ro"), Some(Some("none".to_owned())));
    }

    /// As the kernel writes a path (`mangle` in `fs/proc_namespace.c`).
    fn escape(bytes: &[u8]) -> Vec<u8> {
        bytes
            .iter()
            .flat_map(|byte| match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                _ => vec![*byte],
            })
            .collect()
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }

        #[test]
        fn what_has_no_escapes_stays(text in "([^\\\\]|\\\\[89+ -]|\\\\[0-7][^0-7]|\\\\[0-7]{2}[^0-7]){0,40}") {
            prop_assert_eq!(unescape(text.as_bytes()), text.as_bytes());
        }

        #[test]
        fn any_mount_is_read_as_it_was_written(
            (id, parent, device) in any::<(u64, u64, Device)>(),
            target in "/[^\0]{0,60}",
            source in "[^\0]{1,60}",
            optional in "( (shared|master|propagate_from):[0-9]{1,3}){0,3}",
            is_read_only: bool,
        ) {
            let (major, minor) = device;
            let (target, source) = (escape(target.as_bytes()), escape(source.as_bytes()));
            let write = if is_read_only { "ro" } else { "rw" };
            let line = [
                format!("{id} {parent} {major}:{minor} /root ").as_bytes(),
                &target,
                format!(" rw,nosuid{optional} - tmpfs ").as_bytes(),
                &source,
                format!(" {write},mode=700").as_bytes(),
            ].concat();
            let source = String::from_utf8(unescape(&source)).ok();
            let mount = Mount { id, parent, device, kind: Kind::Tmpfs, is_read_only, source };
            let target = PathBuf::from(OsString::from_vec(unescape(&target)));
            prop_assert_eq!(row(&line), Some(Row { target, mount }));
        }

        #[test]
        fn any_bytes_are_a_line_or_none(line: Vec<u8>) {
            let _ = row(&line);
        }
    }
}
