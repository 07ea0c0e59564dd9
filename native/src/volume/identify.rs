//! Decides which volume a mount is, if any. Nothing here asks the mounted filesystem, which may be another driver's
//! with its server gone.

use crate::sys::Result;
use crate::sys::mountinfo::{Device, Kind, Mount};
use crate::tree;

/// What a volume consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A bpffs with the pins.
    Pins,
    /// A tmpfs with the pins mounted in it, for a pod with a user namespace.
    Tmpfs,
    /// A bpffs that the pod may write to.
    Workspace,
    /// A tmpfs in which a bpffs of the pod's user namespace is mounted.
    Delegation,
}

impl Layout {
    /// Whether the pod decides what is in it.
    #[must_use]
    pub const fn is_the_pods(self) -> bool {
        matches!(self, Self::Workspace | Self::Delegation)
    }
}

/// A mount that is a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it consists of.
    pub layout: Layout,
    /// Its id; `None` if the kernel shows no source of a bpffs (before 5.17) and it is not a kept workspace.
    pub id: Option<String>,
}

/// Identifies the volume that a mount is; `None` if it is none.
///
/// A volume is a bpffs or tmpfs with a read-only superblock, a workspace a bpffs with a writable one; the mount's
/// source has the volume id, and tells a delegation. On a kernel that shows no source, a workspace is recognized by its filesystem's device.
///
/// # Errors
/// Those of `workspaces`, which is called only on such a kernel.
pub fn identify(mount: &Mount, workspaces: impl FnOnce() -> Result<Vec<(Device, String)>>) -> Result<Option<Identity>> {
    if let (Kind::Tmpfs, true, Some(id)) =
        (mount.kind, mount.is_read_only, mount.source.as_deref().and_then(tree::delegation_id))
    {
        return Ok(Some(Identity { layout: Layout::Delegation, id: Some(id.to_owned()) }));
    }
    let layout = match (mount.kind, mount.is_read_only) {
        (Kind::Bpf, true) => Layout::Pins,
        (Kind::Bpf, false) => Layout::Workspace,
        (Kind::Tmpfs, true) => Layout::Tmpfs,
        _ => return Ok(None),
    };
    let id = match (&mount.source, layout) {
        (Some(source), _) => match tree::volume_id(source) {
            Some(id) => Some(id.to_owned()),
            None => return Ok(None),
        },
        (None, Layout::Workspace) => match workspaces()?.into_iter().find(|(kept, _)| *kept == mount.device) {
            Some((_, id)) => Some(id),
            None => return Ok(None),
        },
        (None, _) => None,
    };
    Ok(Some(Identity { layout, id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mountinfo::row;

    fn identified(line: &str) -> Option<(Layout, String)> {
        let workspaces = || Ok(vec![((0, 77), "pv-1".to_owned())]);
        let found = identify(&row(line.as_bytes())?.mount, workspaces).ok()??;
        Some((found.layout, found.id.unwrap_or_default()))
    }

    #[test]
    fn by_its_source() {
        for (line, layout) in [
            ("90 25 0:51 / /m rw - bpf csi-bpffs:csi-1 ro,mode=700", Layout::Pins),
            ("90 25 0:51 / /m rw - bpf csi-bpffs:csi-1 rw,mode=770", Layout::Workspace),
            ("90 25 0:51 / /m rw - tmpfs csi-bpffs:csi-1 ro,size=4k", Layout::Tmpfs),
            ("90 25 0:51 / /m rw - tmpfs csi-bpffs-delegation:csi-1 ro,size=16k", Layout::Delegation),
        ] {
            assert_eq!(identified(line), Some((layout, "csi-1".to_owned())), "{line}");
        }
    }

    #[test]
    fn what_is_no_volume() {
        for line in [
            "92 25 0:53 / /sys/fs/bpf rw - bpf bpf rw,mode=700",
            "93 25 0:53 / /mnt rw - bpf bpf ro,mode=700",
            "94 25 0:53 / /mnt rw - ext4 csi-bpffs:csi-1 ro",
            "94 25 0:53 / /mnt rw - fuse csi-bpffs:csi-1 ro",
            "94 25 0:53 / /mnt rw - tmpfs csi-bpffs:csi-1 rw",
            "94 25 0:53 / /mnt rw - tmpfs csi-bpffs-delegation:csi-1 rw",
            "94 25 0:53 / /mnt rw - bpf csi-bpffs-delegation:csi-1 rw,delegate_cmds=prog_load",
            "94 25 0:53 / /mnt rw - tmpfs none ro",
            "94 25 0:53 / /mnt rw - bpf none rw",
        ] {
            assert_eq!(identified(line), None, "{line}");
        }
    }

    #[test]
    fn a_kernel_that_shows_no_source_leaves_the_id_unknown() {
        assert_eq!(identified("90 25 0:51 / /m rw - bpf none ro,mode=700"), Some((Layout::Pins, String::new())));
    }

    #[test]
    fn such_a_kernel_tells_a_workspace_by_its_filesystem() {
        let expected = Some((Layout::Workspace, "pv-1".to_owned()));
        assert_eq!(identified("90 25 0:77 / /m rw - bpf none rw,mode=770"), expected);
    }
}
