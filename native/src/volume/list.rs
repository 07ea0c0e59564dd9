//! Lists this node's volumes from the whole mount table. Most publishes avoid it, because its cost grows with the
//! table.

use super::identify::{Layout, identify};
use crate::kubelet::{Kubelet, Target};
use crate::store::Store;
use crate::sys::Result;
use crate::sys::mountinfo;

/// A volume found in the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Empty if the kernel does not show a bpffs's source, except for kept workspaces.
    pub volume_id: String,
    /// Where it is mounted.
    pub target: Target,
    /// What it consists of.
    pub layout: Layout,
}

/// Lists the volumes at the kubelet's targets, each once, in the order of the mount table.
///
/// # Errors
/// If `/proc` or the store cannot be read.
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
