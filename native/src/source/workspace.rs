//! Maps that a pod pinned in its workspace.

use std::os::fd::AsFd;

use rustix::fs::OFlags;

use super::Map;
use super::pinned::map_at;
use crate::error::{Error, Result};
use crate::request::WorkspaceMap;
use crate::store::{Kept, Store};
use crate::sys::path::open_within;

/// Opens a map pinned in a workspace of this node. Pods may rename and unlink meanwhile and create symbolic links; none
/// is followed.
///
/// # Errors
/// [`Error::NotYet`] if there is no such workspace or pin, [`Error::Unusable`] if it is not the pin of a map.
pub fn open(store: &Store, wanted: &WorkspaceMap) -> Result<Map> {
    let WorkspaceMap { volume_id, path, .. } = wanted;
    let workspace = wanted.shown();
    let root = match store.kept(volume_id)? {
        Kept::Workspace(root) => root,
        Kept::Nothing => {
            return Err(Error::NotYet(format!(
                "there is no {workspace} on this node yet: start a pod here that mounts the claim"
            )));
        }
        Kept::Maps(_) => {
            return Err(Error::Unusable(format!(
                "volume {volume_id:?} is no workspace: it has maps of its own, so no pod pins any there"
            )));
        }
    };
    let shown = format!("{:?} in the {workspace}", path.display().to_string());
    let absent = || format!("nothing is pinned at {shown} yet: start the pod that pins it there");
    map_at(open_within(root.as_fd(), path, OFlags::PATH), &shown, absent)
}
