//! The volumes of this node, from the whole mount table. Not for the way of a publish: its cost grows with the table.

use super::identify::{Layout, identify};
use crate::kubelet::{Kubelet, Target};
use crate::store::Store;
use crate::sys::Result;
use crate::sys::mountinfo;

/// A volume found in the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Empty on kernels that do not show a bpffs's source.
    pub volume_id: String,
    /// Where it is mounted.
    pub target: Target,
    /// What it is made of.
    pub layout: Layout,
}

/// Lists the volumes that the kubelet has here, each target once, in the order of the mount table.
///
/// # Errors
/// When `/proc` or the store is not there.
pub fn list(kubelet: &Kubelet, store: &Store) -> Result<Vec<Listed>> {
    let workspaces = store.workspaces()?;
    let mut volumes: Vec<Listed> = Vec::new();
    for row in mountinfo::read()? {
        let Some(target) = kubelet.target_in_table(&row.target) else { continue };
        let Some(volume) = identify(&row.mount, || Ok(workspaces.clone()))? else { continue };
        let listed = Listed { volume_id: volume.id.unwrap_or_default(), target, layout: volume.layout };
        if !volumes.contains(&listed) {
            volumes.push(listed);
        }
    }
    Ok(volumes)
}
