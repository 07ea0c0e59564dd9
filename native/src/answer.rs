//! Builds the responses of the API from volumes and sources.

use std::os::fd::AsFd;

use prost::Message;
use tonic::Status;

use crate::api;
use crate::error::{Error, Result};
use crate::kubelet::Target;
use crate::limits::ANSWER;
use crate::probe::Feature;
use crate::request::Source;
use crate::source::{IfAbsent, Map, pin_root_problem};
use crate::store::Store;
use crate::sys::bpf;
use crate::volume::{self, Change, ChangeKind, Found, Given, Layout, Mounted, Outcome, Published, Publisher, Refusal};
use crate::{log, map_type};

/// A workspace may have any number of maps; a response may not.
const FILES_MAX: usize = 1024;

/// Bytes left in a response, of [`ANSWER`].
struct Room(usize);

impl Room {
    fn takes(&mut self, item: &impl Message) -> bool {
        // The tag and length that precede each item of a repeated field.
        const FRAME: usize = 6;
        self.0.checked_sub(item.encoded_len() + FRAME).map(|left| self.0 = left).is_some()
    }

    /// All items or an error, because a part of the list would mislead.
    fn all<T: Message>(mut self, what: &str, items: Vec<T>) -> Result<Vec<T>> {
        if items.iter().all(|item| self.takes(item)) {
            return Ok(items);
        }
        Err(Error::Exhausted(format!("{} {what} are more than an answer of {ANSWER} bytes can list", items.len())))
    }
}

/// The response to a publish.
#[must_use]
pub fn published(Published { outcome, given, refusals }: Published) -> api::PublishVolumeResponse {
    use api::publish_volume_response::Outcome as Told;
    let (outcome, changes) = match outcome {
        Outcome::Created => (Told::Created, Vec::new()),
        Outcome::Unchanged => (Told::Unchanged, Vec::new()),
        Outcome::Replaced(changes) => (Told::Replaced, changes),
    };
    let mut room = Room(ANSWER);
    let told: Vec<_> = changes.iter().map(change).take_while(|change| room.takes(change)).collect();
    let refusals = refusals.into_iter().map(refusal).take_while(|refusal| room.takes(refusal)).collect();
    let maps = given.into_iter().map(mounted).take_while(|map| room.takes(map)).collect();
    api::PublishVolumeResponse { outcome: outcome.into(), changes: told, refusals, maps }
}

fn mounted(Given { map, id, writable }: Given) -> api::PublishedMap {
    api::PublishedMap { name: map, map_id: id, access: access(writable).into() }
}

fn access(writable: bool) -> api::Access {
    if writable { api::Access::ReadWrite } else { api::Access::ReadOnly }
}

fn refusal(Refusal { map, error }: Refusal) -> api::MapRefusal {
    let status = Status::from(error);
    api::MapRefusal { name: map, code: status.code().into(), message: status.message().to_owned() }
}

fn change(change: &Change) -> api::FileChange {
    use api::file_change::Kind;
    let kind = match change.kind {
        ChangeKind::MapReplaced => Kind::MapReplaced,
        ChangeKind::Added => Kind::Added,
        ChangeKind::Removed => Kind::Removed,
        ChangeKind::MadeWritable => Kind::MadeWritable,
        ChangeKind::MadeReadOnly => Kind::MadeReadOnly,
    };
    api::FileChange { path: change.path.to_string_lossy().into_owned(), kind: kind.into() }
}

/// Counts the maps of a volume and sums up their memory.
///
/// # Errors
/// [`Error::NotFound`] if the volume is not published at `target`.
pub fn stats(publisher: &Publisher, id: &str, target: &Target) -> Result<api::GetVolumeStatsResponse> {
    let mut stats = api::GetVolumeStatsResponse::default();
    find(publisher, id, target)?.walk(&mut |_, file| {
        stats.maps += 1;
        stats.memory_bytes += bpf::map_memory(file.map.fd.as_fd())?;
        Ok(())
    })?;
    Ok(stats)
}

/// Describes a volume and its maps.
///
/// # Errors
/// [`Error::NotFound`] if the volume is not published at `target`.
pub fn volume(publisher: &Publisher, id: &str, target: &Target) -> Result<api::DescribeVolumeResponse> {
    let mounted = find(publisher, id, target)?;
    let (mut files, mut left_out, mut room) = (Vec::new(), 0, Room(ANSWER));
    mounted.walk(&mut |path, file| {
        if files.len() < FILES_MAX && left_out == 0 {
            let path = path.to_string_lossy().into_owned();
            let access = access(file.writable).into();
            let file = api::VolumeFile { path, access, map: Some(description(&file.map)?) };
            if room.takes(&file) {
                files.push(file);
                return Ok(());
            }
        }
        left_out += 1;
        Ok(())
    })?;
    let is_delegation = mounted.layout == Layout::Delegation;
    Ok(api::DescribeVolumeResponse {
        workspace: mounted.layout == Layout::Workspace,
        files,
        generations: volume::generations(&mounted)?,
        left_out,
        kind: kind(mounted.layout).into(),
        delegation: if is_delegation { Some(mounted.delegation()?.allowed.to_api()) } else { None },
        delegated: is_delegation && mounted.is_delegated()?,
    })
}

fn kind(layout: Layout) -> api::VolumeKind {
    match layout {
        Layout::Pins | Layout::Tmpfs => api::VolumeKind::Maps,
        Layout::Workspace => api::VolumeKind::Workspace,
        Layout::Delegation => api::VolumeKind::Delegation,
    }
}

fn find(publisher: &Publisher, id: &str, target: &Target) -> Result<Mounted> {
    let absent = || Error::NotFound(format!("volume {id} is not published at {}", target.path().display()));
    let place = match publisher.kubelet.place(target) {
        Ok(place) => place.ok_or_else(absent)?,
        Err(Error::InvalidArgument(_)) => return Err(absent()),
        Err(error) => return Err(error),
    };
    match volume::observe(&place, Some(id), &publisher.sources.store)? {
        Found::Volume(mounted) if mounted.is(id) => Ok(mounted),
        _ => Err(absent()),
    }
}

/// Lists the volumes of the node.
///
/// # Errors
/// If the mount table or the store cannot be read; [`Error::Exhausted`] if the list is too long for a response.
pub fn volumes(publisher: &Publisher) -> Result<api::ListVolumesResponse> {
    let volumes = volume::list(&publisher.kubelet, &publisher.sources.store)?;
    let volumes = volumes.into_iter().map(|listed| api::Volume {
        volume_id: listed.volume_id,
        target_path: listed.target.path().to_string_lossy().into_owned(),
        kind: kind(listed.layout).into(),
    });
    Ok(api::ListVolumesResponse { volumes: Room(ANSWER).all("volumes", volumes.collect())? })
}

/// Lists the persistent volumes of which the store keeps something.
///
/// # Errors
/// If the store cannot be read; [`Error::Exhausted`] if the list is too long for a response.
pub fn kept_volumes(publisher: &Publisher) -> Result<api::ListKeptVolumesResponse> {
    let volume_ids = Room(ANSWER).all("kept volumes", publisher.sources.store.kept_volumes()?)?;
    Ok(api::ListKeptVolumesResponse { volume_ids })
}

/// Describes the map that a source refers to, without creating it.
///
/// # Errors
/// As [`crate::source::Sources::resolve`].
pub fn map(publisher: &Publisher, source: &Source) -> Result<api::DescribeMapResponse> {
    let map = publisher.open_map(source, IfAbsent::Fail)?;
    Ok(api::DescribeMapResponse { map: Some(description(&map)?) })
}

/// How much of the node's budget is used.
///
/// # Errors
/// If the store cannot be read.
pub fn budget(store: &Store) -> Result<api::GetBudgetResponse> {
    let (used, limits) = (store.usage()?, store.limits());
    let share = |used, limit| Some(api::Share { used, limit });
    Ok(api::GetBudgetResponse {
        created_maps: share(used.maps, limits.maps),
        created_memory_bytes: share(used.memory, limits.memory),
        workspaces: share(used.workspaces, limits.workspaces),
    })
}

/// What this kernel can do, and where the pinner works.
#[must_use]
pub fn node(publisher: &Publisher, features: &[Feature]) -> api::GetNodeResponse {
    let features = features.iter().map(|feature| api::KernelFeature {
        name: feature.name.to_owned(),
        available: feature.outcome.is_ok(),
        description: feature.description(),
        required: feature.required,
    });
    let pin_roots = publisher.sources.pin_roots.iter().map(|root| {
        let problem = pin_root_problem(root);
        let path = root.to_string_lossy().into_owned();
        api::PinRoot { path, bpf_filesystem: problem.is_none(), problem: problem.unwrap_or_default() }
    });
    api::GetNodeResponse {
        kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        features: features.collect(),
        dropped_log_lines: log::dropped(),
        pin_roots: pin_roots.collect(),
        kubelet_dir: publisher.kubelet.directory().to_string_lossy().into_owned(),
    }
}

fn description(map: &Map) -> Result<api::MapDescription> {
    let info = map.info;
    Ok(api::MapDescription {
        id: info.id,
        name: info.name().to_owned(),
        r#type: map_type::name(info.kind).into_owned(),
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.flags,
        memory_bytes: bpf::map_memory(map.fd.as_fd())?,
    })
}
