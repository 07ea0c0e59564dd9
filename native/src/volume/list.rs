//! The volumes of this node, from the whole mount table. Not for the way of a publish: its cost grows with the table.

use std::path::{Path, PathBuf};

use super::table::{self, Row};
use crate::store::{Device, Store};
use crate::sys::Result;
use crate::sys::path::beneath;

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
/// When `/proc` or the store is not there.
pub fn list(kubelet_directory: &Path, store: &Store) -> Result<Vec<Listed>> {
    let workspaces = store.workspaces()?;
    let mut volumes: Vec<Listed> = Vec::new();
    for row in table::read()? {
        // Where the store lies beneath the kubelet's directory, what is mounted in it is not published.
        if beneath(kubelet_directory, &row.target).is_none() || row.target.starts_with(&store.directory) {
            continue;
        }
        if let Some(listed) = volume(row, &workspaces).filter(|listed| !volumes.contains(listed)) {
            volumes.push(listed);
        }
    }
    Ok(volumes)
}

/// Reads a row, if it is the root of a volume.
pub(super) fn volume(row: Row, workspaces: &[(Device, String)]) -> Option<Listed> {
    // The single files that are mounted into a volume have another root.
    if !row.is_whole {
        return None;
    }
    let volume_id = match (row.volume_id(), row.file_system.as_str(), row.is_read_only) {
        (Some(id), "bpf", _) | (Some(id), "tmpfs", true) => id.to_owned(),
        (None, "bpf", true) if row.source.is_none() => String::new(),
        (None, "bpf", false) => workspaces.iter().find(|(device, _)| *device == row.device)?.1.clone(),
        _ => return None,
    };
    Some(Listed { volume_id, target: row.target })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn target(line: &str) -> Option<(String, String)> {
        let workspaces = [((0, 77), "pv-1".to_owned())];
        volume(table::row(line.as_bytes())?, &workspaces)
            .map(|listed| (listed.volume_id, listed.target.as_os_str().as_bytes().escape_ascii().to_string()))
    }

    #[test]
    fn a_volume_is_a_read_only_superblock_with_our_source() {
        let line =
            "90 25 0:51 / /kubelet/pods/a\\040b/mount rw,nosuid shared:7 master:2 - bpf csi-bpffs:csi-1 ro,mode=700";
        assert_eq!(target(line), Some(("csi-1".to_owned(), "/kubelet/pods/a b/mount".to_owned())));
    }

    #[test]
    fn a_workspace_is_a_writable_bpffs_with_our_source() {
        let line = "90 25 0:51 / /kubelet/m rw - bpf csi-bpffs:pv-1 rw,mode=770";
        assert_eq!(target(line), Some(("pv-1".to_owned(), "/kubelet/m".to_owned())));
    }

    #[test]
    fn what_is_no_volume() {
        for line in [
            "91 90 0:52 /config /kubelet/m/config rw shared:7 - bpf csi-bpffs:csi-1 rw,mode=700",
            "92 25 0:53 / /sys/fs/bpf rw - bpf bpf rw,mode=700",
            "93 25 0:53 / /mnt rw - bpf bpf ro,mode=700",
            "94 25 0:53 / /mnt rw - ext4 csi-bpffs:csi-1 ro",
            "94 25 0:53 / /mnt rw - tmpfs csi-bpffs:csi-1 rw",
            "94 25 0:53 / /mnt rw - bpf none rw",
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

    #[test]
    fn such_a_kernel_tells_a_workspace_by_its_filesystem() {
        let line = "90 25 0:77 / /kubelet/m rw - bpf none rw,mode=770";
        assert_eq!(target(line), Some(("pv-1".to_owned(), "/kubelet/m".to_owned())));
    }
}
