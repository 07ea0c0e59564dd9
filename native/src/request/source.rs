//! Parses sources.

use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;

use super::check::{self, invalid};
use crate::api;
use crate::error::Result;
use crate::map_type;
use crate::sys::bpf::NAME_LEN;
use crate::text::Quoted;

/// Where a map comes from.
#[derive(Debug)]
pub enum Source {
    /// A pinned map, by its canonical path.
    Pinned(PathBuf),
    /// A map in the kernel, found by names.
    Loaded(Loaded),
    /// A map of the store.
    Created(Created),
    /// A map pinned in a workspace.
    Workspace(WorkspaceMap),
    /// A map pinned in the bpffs of a delegation.
    Delegated(DelegatedMap),
}

/// A map in the kernel, found by its name and perhaps by a program that uses it.
#[derive(Debug)]
pub struct Loaded {
    /// 1 to 15 characters.
    pub map: String,
    /// 1 to 15 characters.
    pub program: Option<String>,
    /// 16 lower-case hexadecimal digits.
    pub tag: Option<String>,
    /// Given only together with `program` or `tag`, because the kernel reuses ids.
    pub program_id: Option<u32>,
}

/// A map of the store.
#[derive(Debug)]
pub struct Created {
    /// The volume that it belongs to, as [`super::kept_volume_id`] allows; `None`: it belongs to the node.
    pub volume_id: Option<String>,
    /// `[A-Za-z0-9_-]`.
    pub name: CString,
    /// Its type, sizes and flags.
    pub shape: Shape,
    /// The shape of the inner maps: for a map of maps, and only then.
    pub inner: Option<Shape>,
}

/// The definition of a map that the pinner creates.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// `enum bpf_map_type`, one that the pinner can create.
    pub kind: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Elements, or bytes of a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_…`.
    pub flags: u32,
}

/// A map pinned in a workspace.
#[derive(Debug)]
pub struct WorkspaceMap {
    /// As [`super::kept_volume_id`] allows.
    pub volume_id: String,
    /// The workspace's claim, "namespace/name"; `None`: not known.
    pub claim: Option<String>,
    /// Relative to the workspace, without dots.
    pub path: PathBuf,
}

/// A map pinned in the bpffs of a delegation.
#[derive(Debug)]
pub struct DelegatedMap {
    /// Whose pod it is.
    pub owner: PodOwner,
    /// The delegation's name in the pod's spec.
    pub volume: String,
    /// Relative to the bpffs, without dots.
    pub path: PathBuf,
}

/// Whom a pod runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodOwner {
    /// `[a-z0-9.-]`.
    pub namespace: String,
    /// `[a-z0-9.-]`.
    pub service_account: String,
}

impl Source {
    /// Parses a source.
    ///
    /// # Errors
    /// [`crate::error::Error::InvalidArgument`] naming the field.
    pub fn parse(source: Option<api::Source>) -> Result<Self> {
        use api::source::From;
        match source.and_then(|source| source.from) {
            None => invalid("source", "must be one of pinned, loaded, created, workspace, delegated"),
            Some(From::Pinned(pinned)) => {
                check::absolute_path("source.pinned.path", &pinned.path)?;
                Ok(Self::Pinned(PathBuf::from(pinned.path)))
            }
            Some(From::Loaded(loaded)) => Loaded::parse(loaded).map(Self::Loaded),
            Some(From::Created(created)) => Created::parse(created).map(Self::Created),
            Some(From::Workspace(workspace)) => WorkspaceMap::parse(workspace).map(Self::Workspace),
            Some(From::Delegated(delegated)) => DelegatedMap::parse(delegated).map(Self::Delegated),
        }
    }
}

impl Loaded {
    fn parse(loaded: api::LoadedMap) -> Result<Self> {
        for (field, name) in [("source.loaded.map", &loaded.map), ("source.loaded.program", &loaded.program)] {
            if name.len() > NAME_LEN {
                let kept = name.get(..NAME_LEN).unwrap_or_default();
                let name = Quoted(name);
                return invalid(field, format_args!("the kernel keeps {NAME_LEN} characters of {name}: {kept:?}"));
            }
        }
        if loaded.map.is_empty() {
            return invalid("source.loaded.map", "must not be empty");
        }
        let tag = loaded.program_tag.to_ascii_lowercase();
        if !tag.is_empty() && (tag.len() != 16 || !tag.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return invalid(
                "source.loaded.program_tag",
                format_args!("{} must have 16 hexadecimal digits", Quoted(&tag)),
            );
        }
        let given = |text: String| (!text.is_empty()).then_some(text);
        let program_id = Some(loaded.program_id).filter(|&id| id != 0);
        if program_id.is_some() && loaded.program.is_empty() && tag.is_empty() {
            return invalid("source.loaded.program_id", "needs program or program_tag beside it: ids are used again");
        }
        Ok(Self { map: loaded.map, program: given(loaded.program), tag: given(tag), program_id })
    }
}

impl Created {
    fn parse(created: api::CreatedMap) -> Result<Self> {
        const INNER: &str = "source.created.inner";
        let name = check::file_name("source.created.name", &created.name)?;
        let volume_id = Some(created.volume_id).filter(|id| !id.is_empty());
        let volume_id = volume_id.map(|id| super::kept_volume_id("source.created.volume_id", id)).transpose()?;
        let Some(kind) = map_type::creatable_by_name(&created.r#type) else {
            let (name, known) = (Quoted(&created.r#type), map_type::creatable_names());
            return match map_type::not_creatable(&created.r#type) {
                Some(why) => invalid("source.created.type", format_args!("{name} is not made by the driver: {why}")),
                None => invalid("source.created.type", format_args!("{name} is none of {known}")),
            };
        };
        let inner = match (map_type::holds_maps(kind), created.inner) {
            (false, None) => None,
            (true, Some(inner)) => Some(Shape::parse_inner(&inner)?),
            (true, None) => {
                return invalid(INNER, format_args!("{:?} needs it: what the maps in it are", created.r#type));
            }
            (false, Some(_)) => return invalid(INNER, format_args!("{:?} holds no maps", created.r#type)),
        };
        let flags = flags("source.created.flags", &created.flags)?;
        let api::CreatedMap { key_size, value_size, max_entries, .. } = created;
        let shape = Shape { kind, key_size, value_size, max_entries, flags }.checked("source.created")?;
        Ok(Self { volume_id, name, shape, inner })
    }
}

impl Shape {
    fn parse_inner(inner: &api::InnerMap) -> Result<Self> {
        let kind = map_type::creatable_by_name(&inner.r#type).filter(|&kind| !map_type::holds_maps(kind));
        let Some(kind) = kind else {
            let known = map_type::creatable_inner_names();
            return invalid("source.created.inner.type", format_args!("{} is none of {known}", Quoted(&inner.r#type)));
        };
        let flags = flags("source.created.inner.flags", &inner.flags)?;
        let api::InnerMap { key_size, value_size, max_entries, .. } = *inner;
        Self { kind, key_size, value_size, max_entries, flags }.checked("source.created.inner")
    }

    fn checked(self, field: &str) -> Result<Self> {
        let most = map_type::most_entries(self.kind);
        if self.max_entries > most {
            let (field, kind, is) = (format!("{field}.max_entries"), map_type::name(self.kind), self.max_entries);
            return invalid(&field, format_args!("must be at most {most} for type {kind}, is {is}"));
        }
        Ok(self)
    }
}

fn flags(field: &str, names: &[String]) -> Result<u32> {
    let mut flags = 0;
    for name in names {
        let Some(bit) = map_type::flag_by_name(name) else {
            return invalid(field, format_args!("{} is none of {}", Quoted(name), map_type::flag_names()));
        };
        flags |= bit;
    }
    Ok(flags)
}

impl WorkspaceMap {
    fn parse(map: api::WorkspaceMap) -> Result<Self> {
        let volume_id = super::kept_volume_id("source.workspace.volume_id", map.volume_id)?;
        check::relative_path("source.workspace.path", &map.path)?;
        let claim = check::claim("source.workspace.claim", map.claim)?;
        Ok(Self { volume_id, claim, path: PathBuf::from(map.path) })
    }

    /// The workspace, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        super::shown_workspace(&self.volume_id, self.claim.as_deref())
    }
}

impl DelegatedMap {
    fn parse(map: api::DelegatedMap) -> Result<Self> {
        let owner = PodOwner::parse("source.delegated.owner", map.owner)?;
        check::name("source.delegated.volume", &map.volume, "-")?;
        check::relative_path("source.delegated.path", &map.path)?;
        Ok(Self { owner, volume: map.volume, path: PathBuf::from(map.path) })
    }
}

/// The delegation, for messages.
impl fmt::Display for DelegatedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delegation {:?} of service account {}", self.volume, self.owner)
    }
}

impl PodOwner {
    /// Parses the owner in `field`.
    ///
    /// # Errors
    /// [`crate::error::Error::InvalidArgument`] naming the field.
    pub fn parse(field: &str, owner: Option<api::PodOwner>) -> Result<Self> {
        let api::PodOwner { namespace, service_account } = owner.unwrap_or_default();
        check::object_name(&format!("{field}.namespace"), &namespace)?;
        check::object_name(&format!("{field}.service_account"), &service_account)?;
        Ok(Self { namespace, service_account })
    }

    /// Reads what [`fmt::Display`] has written.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (namespace, service_account) = text.split_once('/')?;
        Some(Self { namespace: namespace.to_owned(), service_account: service_account.to_owned() })
    }
}

/// `namespace/name`
impl fmt::Display for PodOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)
    }
}
