//! Requests, checked again: from what the wire allows to what the rest of the pinner may rely on.

use std::collections::HashSet;
use std::ffi::CString;
use std::path::{Path, PathBuf};

use crate::api;
use crate::error::{Error, Result};
use crate::map_type;
use crate::sys::bpf::NAME_LEN;
use crate::sys::path::{beneath, is_canonical};

const NAME_MAX: usize = 128;
const PATH_MAX: usize = 4095;
/// `NAME_MAX` of every filesystem here.
const ELEMENT_MAX: usize = 255;
const MAPS_MAX: usize = 256;

/// What a volume shall be.
#[derive(Debug)]
pub struct Volume {
    /// `[A-Za-z0-9._-]`.
    pub id: String,
    /// Canonical and beneath the kubelet's directory.
    pub target: PathBuf,
    /// At least one; file names are unique.
    pub maps: Vec<VolumeMap>,
    /// Who owns it beside root; `None`: it is open to all who reach it.
    pub gid: Option<u32>,
    /// A tmpfs that carries the pins, in place of a bpffs.
    pub user_namespace: bool,
}

/// One file of a volume.
#[derive(Debug)]
pub struct VolumeMap {
    /// For messages.
    pub name: String,
    /// `[A-Za-z0-9_-]`.
    pub file: CString,
    /// Whether it can be opened for writing.
    pub writable: bool,
    /// Where it comes from.
    pub source: Source,
}

/// Where a map comes from.
#[derive(Debug)]
pub enum Source {
    /// A pin, by its canonical path.
    Pinned(PathBuf),
    /// A map in the kernel, by names.
    Loaded(Loaded),
    /// A map of the store.
    Created(Created),
}

/// A map in the kernel, by its name and perhaps by a program that uses it.
#[derive(Debug)]
pub struct Loaded {
    /// 1 to 15 characters.
    pub map: String,
    /// 1 to 15 characters.
    pub program: Option<String>,
    /// 16 hexadecimal digits, small.
    pub tag: Option<String>,
}

/// A map of the store.
#[derive(Debug)]
pub struct Created {
    /// `[A-Za-z0-9_-]`.
    pub name: CString,
    /// `enum bpf_map_type`, of the creatable ones.
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

fn invalid<T>(field: &str, problem: impl std::fmt::Display) -> Result<T> {
    Err(Error::InvalidArgument(format!("{field}: {problem}")))
}

fn check_name(field: &str, value: &str, extra: &str) -> Result<()> {
    if value.is_empty() || value.len() > NAME_MAX {
        return invalid(field, format_args!("must have 1 to {NAME_MAX} characters, has {}", value.len()));
    }
    match value.chars().find(|&c| !c.is_ascii_alphanumeric() && !extra.contains(c)) {
        Some(bad) => invalid(field, format_args!("{bad:?} in {value:?} is not allowed, only [A-Za-z0-9{extra}]")),
        None => Ok(()),
    }
}

fn file_name(field: &str, value: &str) -> Result<CString> {
    check_name(field, value, "_-")?;
    CString::new(value).or_else(|_| invalid(field, "has a NUL"))
}

fn check_path(field: &str, path: &str) -> Result<()> {
    if path.len() > PATH_MAX {
        return invalid(field, format_args!("must have at most {PATH_MAX} bytes, has {}", path.len()));
    }
    if !is_canonical(path) {
        return invalid(field, format_args!("{path:?} must be absolute, without \".\", \"..\" or empty elements"));
    }
    match path.split('/').find(|element| element.len() > ELEMENT_MAX) {
        Some(long) => invalid(field, format_args!("{long:?} must have at most {ELEMENT_MAX} bytes")),
        None => Ok(()),
    }
}

/// Checks the id of a volume.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn volume_id(id: String) -> Result<String> {
    check_name("volume_id", &id, "._-")?;
    Ok(id)
}

/// Checks a target path against the kubelet's directory; links in it are found when it is opened.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the field.
pub fn target_path(path: String, kubelet_directory: &Path) -> Result<PathBuf> {
    const FIELD: &str = "target_path";
    check_path(FIELD, &path)?;
    let path = PathBuf::from(path);
    if beneath(kubelet_directory, &path).is_none() {
        let (path, root) = (path.display(), kubelet_directory.display());
        return invalid(FIELD, format_args!("{path} is not beneath the kubelet's directory {root}"));
    }
    Ok(path)
}

impl Volume {
    /// Checks a publish request.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field.
    pub fn parse(request: api::PublishVolumeRequest, kubelet_directory: &Path) -> Result<Self> {
        if request.maps.is_empty() || request.maps.len() > MAPS_MAX {
            return invalid("maps", format_args!("must have 1 to {MAPS_MAX} entries, has {}", request.maps.len()));
        }
        // (gid_t)-1 means "leave it" to chown(2).
        if request.gid == Some(u32::MAX) {
            return invalid("gid", "4294967295 is no group");
        }
        let id = volume_id(request.volume_id)?;
        let target = target_path(request.target_path, kubelet_directory)?;
        let maps = request.maps.into_iter().map(VolumeMap::parse).collect::<Result<Vec<_>>>()?;
        let mut seen = HashSet::new();
        for map in &maps {
            if !seen.insert(&map.file) {
                return invalid("file_name", format_args!("{:?} is given twice", map.file));
            }
        }
        Ok(Self { id, target, maps, gid: request.gid, user_namespace: request.user_namespace })
    }
}

impl VolumeMap {
    fn parse(map: api::VolumeMap) -> Result<Self> {
        check_name("name", &map.name, "._-")?;
        let writable = match map.access() {
            api::Access::ReadOnly => false,
            api::Access::ReadWrite => true,
            api::Access::Unspecified => return invalid("access", "must be READ_ONLY or READ_WRITE"),
        };
        let file = file_name("file_name", &map.file_name)?;
        let source = Source::parse(map.source).map_err(|error| error.of_map(&map.name))?;
        Ok(Self { file, writable, source, name: map.name })
    }
}

impl Source {
    /// Checks a source.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field.
    pub fn parse(source: Option<api::Source>) -> Result<Self> {
        use api::source::From;
        match source.and_then(|source| source.from) {
            None => invalid("source", "must be one of pinned, loaded, created"),
            Some(From::Pinned(pinned)) => {
                check_path("source.pinned.path", &pinned.path)?;
                Ok(Self::Pinned(PathBuf::from(pinned.path)))
            }
            Some(From::Loaded(loaded)) => Loaded::parse(loaded).map(Self::Loaded),
            Some(From::Created(created)) => Created::parse(&created).map(Self::Created),
        }
    }
}

impl Loaded {
    fn parse(loaded: api::LoadedMap) -> Result<Self> {
        for (field, name) in [("source.loaded.map", &loaded.map), ("source.loaded.program", &loaded.program)] {
            if name.len() > NAME_LEN {
                let kept = name.get(..NAME_LEN).unwrap_or_default();
                return invalid(field, format_args!("the kernel keeps {NAME_LEN} characters of {name:?}: {kept:?}"));
            }
        }
        if loaded.map.is_empty() {
            return invalid("source.loaded.map", "must not be empty");
        }
        let tag = loaded.program_tag.to_ascii_lowercase();
        if !tag.is_empty() && (tag.len() != 16 || !tag.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return invalid("source.loaded.program_tag", format_args!("{tag:?} must have 16 hexadecimal digits"));
        }
        let given = |text: String| (!text.is_empty()).then_some(text);
        Ok(Self { map: loaded.map, program: given(loaded.program), tag: given(tag) })
    }
}

impl Created {
    fn parse(created: &api::CreatedMap) -> Result<Self> {
        let name = file_name("source.created.name", &created.name)?;
        let Some(kind) = map_type::creatable_by_name(&created.r#type) else {
            let known = map_type::creatable_names();
            return invalid("source.created.type", format_args!("{:?} is none of {known}", created.r#type));
        };
        let mut flags = 0;
        for flag in &created.flags {
            let Some(bit) = map_type::flag_by_name(flag) else {
                return invalid("source.created.flags", format_args!("{flag:?} is none of {}", map_type::flag_names()));
            };
            flags |= bit;
        }
        let api::CreatedMap { key_size, value_size, max_entries, .. } = *created;
        Ok(Self { name, kind, key_size, value_size, max_entries, flags })
    }
}
