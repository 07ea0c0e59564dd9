//! The volumes of this node, from the whole mount table. Not for the way of a publish: its cost grows with the table.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::SOURCE_PREFIX;
use crate::sys::path::beneath;
use crate::sys::{Context, Result};

/// A volume found in the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Empty on kernels that do not show a bpffs's source.
    pub volume_id: String,
    /// Where it is mounted.
    pub target: PathBuf,
}

/// Lists the volumes beneath the kubelet's directory, each target once, in the order of the mount table.
///
/// # Errors
/// When `/proc` is not there.
pub fn list(kubelet_directory: &Path) -> Result<Vec<Listed>> {
    const TABLE: &str = "/proc/thread-self/mountinfo";
    let table = fs::read(TABLE).call("read", || TABLE.to_owned())?;
    let mut volumes: Vec<Listed> = Vec::new();
    for listed in table.split(|&byte| byte == b'\n').filter_map(volume) {
        if beneath(kubelet_directory, &listed.target).is_some() && !volumes.contains(&listed) {
            volumes.push(listed);
        }
    }
    Ok(volumes)
}

/// Reads a line of mountinfo, if it is the root of a volume.
/// <https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>
fn volume(line: &[u8]) -> Option<Listed> {
    let mut fields = line.split(|&byte| byte == b' ');
    let root = fields.nth(3)?;
    let target = fields.next()?;
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let file_system = fields.next()?;
    let source = std::str::from_utf8(fields.next()?).ok()?;
    let is_read_only = fields.next()?.split(|&byte| byte == b',').any(|option| option == b"ro");
    // The single files that are mounted into a volume have another root.
    if root != b"/" || !is_read_only {
        return None;
    }
    let volume_id = match (source.strip_prefix(SOURCE_PREFIX), file_system) {
        (Some(id), b"bpf" | b"tmpfs") => id.to_owned(),
        (None, b"bpf") if source == "none" => String::new(),
        _ => return None,
    };
    Some(Listed { volume_id, target: PathBuf::from(unescape(target)) })
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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn target(line: &str) -> Option<(String, String)> {
        volume(line.as_bytes())
            .map(|listed| (listed.volume_id, listed.target.as_os_str().as_bytes().escape_ascii().to_string()))
    }

    #[test]
    fn a_volume_is_a_read_only_superblock_with_our_source() {
        let line =
            "90 25 0:51 / /kubelet/pods/a\\040b/mount rw,nosuid shared:7 master:2 - bpf csi-bpffs:csi-1 ro,mode=700";
        assert_eq!(target(line), Some(("csi-1".to_owned(), "/kubelet/pods/a b/mount".to_owned())));
    }

    #[test]
    fn what_is_no_volume() {
        for line in [
            "91 90 0:52 /config /kubelet/m/config rw shared:7 - bpf csi-bpffs:csi-1 rw,mode=700",
            "92 25 0:53 / /sys/fs/bpf rw - bpf bpf rw,mode=700",
            "93 25 0:53 / /mnt rw - bpf bpf ro,mode=700",
            "94 25 0:53 / /mnt rw - ext4 csi-bpffs:csi-1 ro",
            "95 25",
            "",
        ] {
            assert_eq!(target(line), None, "{line}");
        }
    }

    #[test]
    fn a_kernel_that_shows_no_source_leaves_the_id_empty() {
        let line = "90 25 0:51 / /kubelet/m rw - bpf none ro,mode=700";
        assert_eq!(target(line), Some((String::new(), "/kubelet/m".to_owned())));
    }
}
