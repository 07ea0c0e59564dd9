//! Short builders of publish requests.

use std::path::{Path, PathBuf};

use bpffs_pinner::api::{self, Access, source::From};

/// A request to publish a volume.
#[derive(Clone, Debug)]
pub struct Wanted(pub api::PublishVolumeRequest);

impl Wanted {
    pub fn new(volume_id: &str, target: &Path) -> Self {
        let target_path = target.to_str().unwrap().to_owned();
        Self(api::PublishVolumeRequest { volume_id: volume_id.to_owned(), target_path, ..Default::default() })
    }

    pub fn map(mut self, name: &str, access: Access, source: impl Into<Option<api::Source>>) -> Self {
        let (name, file_name) = (name.to_owned(), name.to_owned());
        self.0.maps.push(api::VolumeMap { name, file_name, access: access.into(), source: source.into(), uid: None });
        self
    }

    pub fn read(self, name: &str, source: api::Source) -> Self {
        self.map(name, Access::ReadOnly, source)
    }

    pub fn write(self, name: &str, source: api::Source) -> Self {
        self.map(name, Access::ReadWrite, source)
    }

    pub fn gid(mut self, gid: u32) -> Self {
        self.0.gid = Some(gid);
        self
    }

    pub fn in_user_namespace(mut self) -> Self {
        self.0.user_namespace = true;
        self
    }

    pub fn single_target(mut self) -> Self {
        self.0.single_target = true;
        self
    }

    pub fn renew(mut self) -> Self {
        self.0.renew = true;
        self
    }

    pub fn request(&self) -> api::PublishVolumeRequest {
        self.0.clone()
    }

    pub fn target(&self) -> PathBuf {
        PathBuf::from(&self.0.target_path)
    }
}

/// A request to publish a workspace.
#[derive(Clone, Debug)]
pub struct Workspace(pub api::PublishWorkspaceRequest);

impl Workspace {
    pub fn new(volume_id: &str, target: &Path) -> Self {
        let target_path = target.to_str().unwrap().to_owned();
        Self(api::PublishWorkspaceRequest { volume_id: volume_id.to_owned(), target_path, ..Default::default() })
    }

    pub fn gid(mut self, gid: u32) -> Self {
        self.0.gid = Some(gid);
        self
    }

    pub fn claim(mut self, claim: &str) -> Self {
        claim.clone_into(&mut self.0.claim);
        self
    }

    pub fn read_only(mut self) -> Self {
        self.0.read_only = true;
        self
    }

    pub fn single_target(mut self) -> Self {
        self.0.single_target = true;
        self
    }

    pub fn target(&self) -> PathBuf {
        PathBuf::from(&self.0.target_path)
    }
}

pub fn pinned(path: &Path) -> api::Source {
    let path = path.to_str().unwrap().to_owned();
    api::Source { from: Some(From::Pinned(api::PinnedMap { path })) }
}

pub fn loaded(map: &str, program: &str, program_tag: &str) -> api::Source {
    loaded_by_id(map, program, program_tag, 0)
}

pub fn loaded_by_id(map: &str, program: &str, program_tag: &str, program_id: u32) -> api::Source {
    let [map, program, program_tag] = [map, program, program_tag].map(str::to_owned);
    api::Source { from: Some(From::Loaded(api::LoadedMap { map, program, program_tag, program_id })) }
}

/// A map with keys of 4 bytes, values of 8, and 16 elements.
pub fn created(name: &str, kind: &str) -> api::Source {
    let definition = api::CreatedMap { key_size: 4, value_size: 8, max_entries: 16, ..Default::default() };
    defined(api::CreatedMap { name: name.to_owned(), r#type: kind.to_owned(), ..definition })
}

/// As [`created`], for a persistent volume.
pub fn created_for(volume_id: &str, name: &str, kind: &str) -> api::Source {
    let definition = api::CreatedMap { key_size: 4, value_size: 8, max_entries: 16, ..Default::default() };
    let (volume_id, name, r#type) = (volume_id.to_owned(), name.to_owned(), kind.to_owned());
    defined(api::CreatedMap { volume_id, name, r#type, ..definition })
}

pub fn in_workspace(volume_id: &str, path: &str) -> api::Source {
    let (volume_id, path, claim) = (volume_id.to_owned(), path.to_owned(), "prod/agent".to_owned());
    api::Source { from: Some(From::Workspace(api::WorkspaceMap { volume_id, path, claim })) }
}

pub fn delegated(service_account: &str, volume: &str, path: &str) -> api::Source {
    let owner = api::PodOwner { namespace: "net".to_owned(), service_account: service_account.to_owned() };
    let (volume, path) = (volume.to_owned(), path.to_owned());
    api::Source { from: Some(From::Delegated(api::DelegatedMap { owner: Some(owner), volume, path })) }
}

pub fn defined(created: api::CreatedMap) -> api::Source {
    api::Source { from: Some(From::Created(created)) }
}
