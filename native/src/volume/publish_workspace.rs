//! Publishes a workspace: itself, writable, or a volume with the maps pinned in it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, Uid};

use super::build::{File, Plan, build};
use super::carriers::Gives;
use super::change::changes;
use super::identify::Layout;
use super::list::{Listed, list};
use super::mismatch::{otherwise, same_volume};
use super::observe::Mounted;
use super::publish_maps::Outcome;
use super::publisher::{Publisher, Terms};
use super::walk::{Cut, Limits, walk};
use crate::error::{Error, Result};
use crate::kubelet::{Lifecycle, Place};
use crate::map_type::check_handed_out;
use crate::request::{MAPS_MAX, Workspace};
use crate::source::Map;
use crate::store::Kept;
use crate::sys::{self, Context};

/// How far a workspace is searched for maps to publish.
const LIMITS: Limits = Limits { depth: 8, entries: 4096 };

impl Publisher {
    /// Publishes a workspace, or renews the volume that shows it read-only.
    ///
    /// `is_cancelled` is called before each costly step, and finally before anything is attached.
    ///
    /// # Errors
    /// As the API's `PublishWorkspace`.
    pub fn publish_workspace(&self, workspace: &Workspace, is_cancelled: &dyn Fn() -> bool) -> Result<Outcome> {
        let proceed = || if is_cancelled() { Err(Error::Cancelled) } else { Ok(()) };
        let (place, lifecycle) = self.open_place(&workspace.target, &workspace.id)?;
        if lifecycle == Some(Lifecycle::Ephemeral) {
            return Err(Error::Unusable("an inline volume cannot be a workspace".to_owned()));
        }
        let mounted = self.mounted(&place, &workspace.id)?;
        let layout = if workspace.read_only { Layout::Pins } else { Layout::Workspace };
        if let Some(mounted) = &mounted {
            same_volume(mounted, &workspace.id, layout, workspace.gid, &place)?;
        }
        proceed()?;
        match (workspace.read_only, mounted) {
            (true, mounted) => self.publish_view(workspace, &place, mounted.as_ref(), &proceed),
            // The pod may have changed its directory, which is left as it is.
            (false, Some(_)) => Ok(Outcome::Unchanged),
            (false, None) => self.publish_itself(workspace, &place, &proceed),
        }
    }

    fn publish_itself(
        &self,
        workspace: &Workspace,
        place: &Place,
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<Outcome> {
        let tree = self.sources.store.workspace_copy(&workspace.id, &self.composer)?;
        let terms = Terms { volume_id: &workspace.id, single_target: workspace.single_target, gives: Gives::Workspace };
        self.attach(&tree, place, None, &terms, || {
            proceed()?;
            self.give(workspace, &tree)
        })?;
        Ok(Outcome::Created)
    }

    /// Gives a workspace to the group of a pod, or to everyone. Refuses another owner while a pod has it.
    fn give(&self, workspace: &Workspace, tree: &OwnedFd) -> Result<()> {
        let (store, id, asked) = (&self.sources.store, &workspace.id, workspace.gid);
        if !matches!(store.kept(id)?, Kept::Workspace(_)) {
            return Err(Error::Busy(format!("the {} was given up at this moment; ask again", workspace.shown())));
        }
        if let Some(owner) = store.owner(id)?.filter(|owner| *owner != asked) {
            let volumes = list(&self.kubelet, store)?;
            let writes = |other: &&Listed| other.volume_id == *id && other.layout == Layout::Workspace;
            if let Some(other) = volumes.iter().find(writes) {
                let group = |gid: Option<u32>| gid.map_or("no fsGroup".to_owned(), |gid| format!("fsGroup {gid}"));
                return Err(Error::Unusable(format!(
                    "the {} is published at {} for {}, and this pod asks for {}: give all its pods the same fsGroup, or \
                     end the other one",
                    workspace.shown(),
                    other.target.path().display(),
                    group(owner),
                    group(asked)
                )));
            }
        }
        store.set_owner(id, asked)?;
        Ok(hand_over(tree, asked)?)
    }

    fn publish_view(
        &self,
        workspace: &Workspace,
        place: &Place,
        mounted: Option<&Mounted>,
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<Outcome> {
        let maps = self.maps_in(workspace)?;
        let mut differences = None;
        if let Some(mounted) = mounted {
            let files = mounted.files()?;
            if files.values().any(|file| file.writable) {
                return Err(otherwise(place, "maps to write, now asked for a workspace with readOnly: true"));
            }
            let found = changes(&files, maps.iter().map(|(path, map)| (path, map.info.id, false)));
            if found.is_empty() {
                return Ok(Outcome::Unchanged);
            }
            differences = Some(found);
        }
        proceed()?;
        let files: Vec<_> =
            maps.iter().map(|(path, map)| File { path, map: map.fd.as_fd(), writable: false, from: None }).collect();
        let plan = Plan {
            volume_id: &workspace.id,
            request: None,
            files: &files,
            gid: workspace.gid,
            user_namespace: false,
            carries: false,
        };
        let tree = build(&plan, &self.composer)?;
        let names: Vec<_> = maps.keys().map(|path| path.to_string_lossy().into_owned()).collect();
        let gives = if names.is_empty() { Gives::WritableMaps } else { Gives::ReadOnlyMaps(names) };
        let terms = Terms { volume_id: &workspace.id, single_target: workspace.single_target, gives };
        self.attach(&tree, place, mounted, &terms, proceed)?;
        Ok(differences.map_or(Outcome::Created, Outcome::Replaced))
    }

    /// The maps that are pinned in a workspace now, of the types that are handed out.
    fn maps_in(&self, workspace: &Workspace) -> Result<BTreeMap<CString, Map>> {
        let root = self.sources.store.workspace(&workspace.id, &self.composer)?;
        let too_much = |what: String| {
            let workspace = workspace.shown();
            Error::Unusable(format!("the {workspace} has {what}, so it cannot be shown read-only: remove some"))
        };
        let mut maps = BTreeMap::new();
        let cut = walk(root.as_fd(), LIMITS, &mut |path, found| {
            if check_handed_out(found.map.info.kind).is_ok() {
                maps.insert(path, found.map);
            }
            if maps.len() > MAPS_MAX {
                return Err(too_much(format!("more than {MAPS_MAX} maps")));
            }
            Ok(())
        })?;
        match cut {
            None => Ok(maps),
            Some(Cut::Depth) => Err(too_much(format!("directories more than {} deep", LIMITS.depth))),
            Some(Cut::Entries) => Err(too_much(format!("more than {} pins and directories", LIMITS.entries))),
        }
    }
}

/// Gives the directory of a workspace to a group, or to everyone.
///
/// Owner first: a pod may have changed it, and changing the mode of somebody else's directory takes `CAP_FOWNER`.
fn hand_over(tree: &OwnedFd, gid: Option<u32>) -> sys::Result<()> {
    let mode = if gid.is_some() { 0o770 } else { 0o1777 };
    let (root, group) = (Uid::ROOT, Gid::from_raw(gid.unwrap_or(0)));
    let object = || "the workspace's directory".to_owned();
    rustix::fs::chownat(tree, c".", Some(root), Some(group), AtFlags::empty()).context("chown", object)?;
    rustix::fs::chmodat(tree, c".", Mode::from_raw_mode(mode), AtFlags::empty()).context("chmod", object)
}
