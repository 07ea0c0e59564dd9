//! The volumes of this node, from the whole mount table. Not for the way of a publish: its cost grows with the table.

use super::table::{self, Row};
use crate::kubelet::{Kubelet, Target};
use crate::store::{Device, Store};
use crate::sys::Result;

/// A volume found in the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Empty on kernels that do not show a bpffs's source.
    pub volume_id: String,
    /// Where it is mounted.
    pub target: Target,
}

/// Lists the volumes that the kubelet has here, each target once, in the order of the mount table.
///
/// # Errors
/// When `/proc` or the store is not there.
pub fn list(kubelet: &Kubelet, store: &Store) -> Result<Vec<Listed>> {
    let workspaces = store.workspaces()?;
    let mut volumes: Vec<Listed> = Vec::new();
    for row in table::read()? {
        let Some(target) = kubelet.target_in_table(&row.target) else { continue };
        let Some(volume_id) = volume_id(&row, &workspaces) else { continue };
        let listed = Listed { volume_id: volume_id.to_owned(), target };
        if !volumes.contains(&listed) {
            volumes.push(listed);
        }
    }
    Ok(volumes)
}

/// The id of the volume that a row is the root of, empty where the kernel does not say; `None`: it is none.
pub(super) fn volume_id<'a>(row: &'a Row, workspaces: &'a [(Device, String)]) -> Option<&'a str> {
    // The single files that are mounted into a volume have another root.
    if !row.is_whole {
        return None;
    }
    match (row.volume_id(), row.file_system.as_str(), row.is_read_only) {
        (Some(id), "bpf", _) | (Some(id), "tmpfs", true) => Some(id),
        (None, "bpf", true) if row.source.is_none() => Some(""),
        (None, "bpf", false) => workspaces.iter().find(|(device, _)| *device == row.device).map(|(_, id)| id.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(line: &str) -> Option<String> {
        let workspaces = [((0, 77), "pv-1".to_owned())];
        volume_id(&table::row(line.as_bytes())?, &workspaces).map(str::to_owned)
    }

    #[test]
    fn a_volume_is_a_read_only_superblock_with_our_source() {
        let line =
            "90 25 0:51 / /kubelet/pods/a\\040b/mount rw,nosuid shared:7 master:2 - bpf csi-bpffs:csi-1 ro,mode=700";
        assert_eq!(volume(line).as_deref(), Some("csi-1"));
    }

    #[test]
    fn a_workspace_is_a_writable_bpffs_with_our_source() {
        let line = "90 25 0:51 / /kubelet/m rw - bpf csi-bpffs:pv-1 rw,mode=770";
        assert_eq!(volume(line).as_deref(), Some("pv-1"));
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
            assert_eq!(volume(line), None, "{line}");
        }
    }

    #[test]
    fn a_kernel_that_shows_no_source_leaves_the_id_empty() {
        let line = "90 25 0:51 / /kubelet/m rw - bpf none ro,mode=700";
        assert_eq!(volume(line).as_deref(), Some(""));
    }

    #[test]
    fn such_a_kernel_tells_a_workspace_by_its_filesystem() {
        let line = "90 25 0:77 / /kubelet/m rw - bpf none rw,mode=770";
        assert_eq!(volume(line).as_deref(), Some("pv-1"));
    }
}
