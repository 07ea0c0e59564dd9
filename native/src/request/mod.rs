//! Parses requests into values that the rest of the pinner can rely on; nothing that the caller checked is trusted.

mod check;
#[cfg(test)]
mod properties;
mod source;

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::path::Path;

use self::check::invalid;
use crate::api;
use crate::delegation::Delegation;
use crate::error::Result;
use crate::kubelet::{Kubelet, Target};

pub use self::source::{Created, DelegatedMap, Loaded, PodOwner, Shape, Source, WorkspaceMap};

/// The most maps that a volume can have.
pub const MAPS_MAX: usize = 256;

/// A volume to be published.
#[derive(Debug)]
pub struct Volume {
    /// As [`volume_id`] allows.
    pub id: String,
    /// Where to publish it.
    pub target: Target,
    /// Among those with a source, file names are unique.
    pub maps: Vec<VolumeMap>,
    /// The group that owns it; `None`: everyone who reaches the path may use it.
    pub gid: Option<u32>,
    /// Whether the volume is a tmpfs with the pins mounted in it, instead of a bpffs.
    pub user_namespace: bool,
    /// Whether it may be at only one target at a time.
    pub single_target: bool,
    /// Whether it may differ from the volume that is mounted.
    pub renew: bool,
    /// What the pod asked for, of which the volume keeps a digest; `None`: not compared.
    pub request: Option<String>,
}

/// A workspace to be published.
#[derive(Debug)]
pub struct Workspace {
    /// As [`kept_volume_id`] allows.
    pub id: String,
    /// Where to publish it.
    pub target: Target,
    /// The group that owns it; `None`: everyone who reaches the path may use it.
    pub gid: Option<u32>,
    /// The workspace's claim, "namespace/name"; `None`: not known.
    pub claim: Option<String>,
    /// Whether to publish a volume with the workspace's pinned maps instead of the workspace itself.
    pub read_only: bool,
    /// Whether it may be at only one target at a time.
    pub single_target: bool,
}

/// A delegation to be published.
#[derive(Debug)]
pub struct DelegationVolume {
    /// As [`volume_id`] allows.
    pub id: String,
    /// Where to publish it.
    pub target: Target,
    /// What the pod may do.
    pub delegation: Delegation,
    /// Whose pod it is.
    pub owner: PodOwner,
    /// As of a [`Volume`].
    pub request: Option<String>,
}

/// One file of a volume.
#[derive(Debug)]
pub struct VolumeMap {
    /// The `BpfMap` or shared map that it comes from. On renewal, another name means another file.
    pub name: String,
    /// `[A-Za-z0-9_-]`.
    pub file: CString,
    /// The uid of the `BpfMap`, which tells apart objects that had the same name; `None`: unknown.
    pub uid: Option<String>,
    /// Whether the pod may open it for writing.
    pub writable: bool,
    /// Where the map comes from; `None` only on renewal.
    pub source: Option<Source>,
}

/// Checks the id of a volume.
///
/// # Errors
/// [`crate::error::Error::InvalidArgument`] naming the field.
pub fn volume_id(id: String) -> Result<String> {
    check::text("volume_id", &id)?;
    Ok(id)
}

/// Checks the id of a kept volume. It names a directory in the store, so it has no dots.
///
/// # Errors
/// [`crate::error::Error::InvalidArgument`] naming the field.
pub fn kept_volume_id(field: &str, id: String) -> Result<String> {
    check::name(field, &id, "_-")?;
    Ok(id)
}

/// Checks the name of a map that belongs to the node.
///
/// # Errors
/// [`crate::error::Error::InvalidArgument`] naming the field.
pub fn map_name(name: &str) -> Result<CString> {
    check::file_name("name", name)
}

/// Checks a target path. Symbolic links in it are found when it is opened.
///
/// # Errors
/// [`crate::error::Error::InvalidArgument`] naming the field.
pub fn target_path(path: &str, kubelet: &Kubelet) -> Result<Target> {
    check::absolute_path("target_path", path)?;
    kubelet.target(Path::new(path))
}

impl Volume {
    /// Parses a publish request.
    ///
    /// # Errors
    /// [`crate::error::Error::InvalidArgument`] naming the field.
    pub fn parse(request: api::PublishVolumeRequest, kubelet: &Kubelet) -> Result<Self> {
        if request.maps.len() > MAPS_MAX || (request.maps.is_empty() && !request.renew) {
            return invalid("maps", format_args!("must have 1 to {MAPS_MAX} entries, has {}", request.maps.len()));
        }
        let gid = group(request.gid)?;
        let id = volume_id(request.volume_id)?;
        let target = target_path(&request.target_path, kubelet)?;
        let maps =
            request.maps.into_iter().map(|map| VolumeMap::parse(map, request.renew)).collect::<Result<Vec<_>>>()?;
        let mut seen = HashMap::new();
        for map in &maps {
            let other = seen.insert(&map.file, &map.source);
            if other.is_some_and(|other| other.is_some() || map.source.is_some()) {
                return invalid("file_name", format_args!("{:?} is given twice", map.file));
            }
        }
        let api::PublishVolumeRequest { user_namespace, single_target, renew, request, .. } = request;
        let request = Some(request).filter(|text| !text.is_empty());
        Ok(Self { id, target, maps, gid, user_namespace, single_target, renew, request })
    }

    /// Refuses requests that only make sense for the renewal of a mounted volume.
    ///
    /// # Errors
    /// [`crate::error::Error::InvalidArgument`] naming the field.
    pub fn require_whole(&self) -> Result<()> {
        if self.maps.is_empty() {
            return invalid("maps", format_args!("must have 1 to {MAPS_MAX} entries for a new volume, has none"));
        }
        match self.maps.iter().find(|map| map.source.is_none()) {
            Some(map) => invalid("source", format_args!("map {:?}: must be given for a new volume", map.name)),
            None => Ok(()),
        }
    }
}

impl Workspace {
    /// Parses a publish request.
    ///
    /// # Errors
    /// [`crate::error::Error::InvalidArgument`] naming the field.
    pub fn parse(request: api::PublishWorkspaceRequest, kubelet: &Kubelet) -> Result<Self> {
        let gid = group(request.gid)?;
        let id = kept_volume_id("volume_id", request.volume_id)?;
        let target = target_path(&request.target_path, kubelet)?;
        let claim = check::claim("claim", request.claim)?;
        Ok(Self { id, target, gid, claim, read_only: request.read_only, single_target: request.single_target })
    }

    /// The workspace, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        shown_workspace(&self.id, self.claim.as_deref())
    }
}

/// Names a workspace by its claim, which people know; the volume's id is what the mount table shows.
fn shown_workspace(volume_id: &str, claim: Option<&str>) -> String {
    claim.map_or_else(
        || format!("workspace {volume_id:?}"),
        |claim| format!("workspace of claim {claim} (volume {volume_id:?})"),
    )
}

impl DelegationVolume {
    /// Parses a publish request.
    ///
    /// # Errors
    /// [`crate::error::Error::InvalidArgument`] naming the field.
    pub fn parse(request: api::PublishDelegationRequest, kubelet: &Kubelet) -> Result<Self> {
        let id = volume_id(request.volume_id)?;
        let target = target_path(&request.target_path, kubelet)?;
        let delegation = Delegation::parse(&request.delegation.unwrap_or_default())?;
        let owner = PodOwner::parse("owner", request.owner)?;
        let request = Some(request.request).filter(|text| !text.is_empty());
        Ok(Self { id, target, delegation, owner, request })
    }
}

fn group(gid: Option<u32>) -> Result<Option<u32>> {
    // chown(2) takes (gid_t)-1 as "do not change".
    if gid == Some(u32::MAX) { invalid("gid", "4294967295 is no group") } else { Ok(gid) }
}

/// As in a pod's spec: `flows`, `limits:rw`.
impl fmt::Display for VolumeMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        f.write_str(if self.writable { ":rw" } else { "" })
    }
}

impl VolumeMap {
    fn parse(map: api::VolumeMap, renew: bool) -> Result<Self> {
        check::name("name", &map.name, "._-")?;
        let writable = match map.access() {
            api::Access::ReadOnly => false,
            api::Access::ReadWrite => true,
            api::Access::Unspecified => return invalid("access", "must be READ_ONLY or READ_WRITE"),
        };
        let file = check::file_name("file_name", &map.file_name)?;
        map.uid.iter().try_for_each(|uid| check::uid("uid", uid))?;
        let source = match map.source {
            None if renew => None,
            source => Some(Source::parse(source).map_err(|error| error.of_map(&map.name))?),
        };
        Ok(Self { file, writable, source, name: map.name, uid: map.uid })
    }
}
