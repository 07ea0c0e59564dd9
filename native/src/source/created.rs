//! Maps that the pinner creates.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::{IfAbsent, Map, map};
use crate::error::{Error, Result};
use crate::map_memory::rounded_entries;
use crate::map_type::{self, INNER_MAP, RDONLY_PROG};
use crate::request::{Created, Shape};
use crate::store::Store;
use crate::sys;
use crate::sys::bpf::{self, MapDefinition, MapInfo};
use crate::sys::path::through_descriptor;

/// Not `EOPNOTSUPP`: a kernel-internal number that leaks to user space.
const ENOTSUPP: i32 = 524;

/// Opens a map of the store, creating it first if it is absent and `if_absent` says so.
///
/// # Errors
/// [`Error::Unusable`] if the store has a map of that name with another definition, the kernel refuses the definition,
/// or the volume is a workspace; [`Error::Exhausted`] beyond the budget; [`Error::NotYet`] with [`IfAbsent::Fail`].
pub fn open(store: &Store, wanted: &Created, if_absent: IfAbsent) -> Result<Map> {
    let volume_id = wanted.volume_id.as_deref();
    // Twice, because another call may add a map of the same name between the lookup and the pin.
    for _ in 0..2 {
        if let Some(found) = find(store, wanted)? {
            return check_definition(store, found, wanted);
        }
        if if_absent == IfAbsent::Fail {
            return Err(Error::NotYet("it is made when a volume with it is first published".to_owned()));
        }
        let _room = store.reserve(wanted)?;
        let fresh = create(wanted)?;
        if store.keep_map(volume_id, &wanted.name, fresh.as_fd())? {
            return map(fresh);
        }
    }
    Err(Error::NotYet(format!("{:?} keeps appearing and vanishing in the store", wanted.name)))
}

fn find(store: &Store, wanted: &Created) -> Result<Option<Map>> {
    let Some(directory) = store.maps(wanted.volume_id.as_deref())? else { return Ok(None) };
    match bpf::open_pin(&through_descriptor(directory.as_fd(), &wanted.name)) {
        Ok(fd) => map(fd).map(Some),
        Err(error) if error.errno == Errno::NOENT => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check_definition(store: &Store, found: Map, wanted: &Created) -> Result<Map> {
    let differences = differences(&found.info, &wanted.shape, store.cpus());
    if differences.is_empty() {
        return Ok(found);
    }
    Err(Error::Unusable(format!(
        "the store holds it with {}; give the new definition another name, or remove {} once no pod uses it",
        differences.join(", "),
        store.map_path(wanted.volume_id.as_deref(), &wanted.name).display()
    )))
}

/// The inner maps' definition cannot be read from a map of maps, so it is not compared.
fn differences(found: &MapInfo, wanted: &Shape, cpus: u64) -> Vec<String> {
    // The kernel sets other flags on its own.
    const ASKABLE: u32 = ((1 << 11) - 1) | INNER_MAP;
    let is_kind = found.kind == wanted.kind;
    let is_rounded = is_kind && u128::from(found.max_entries) == rounded_entries(wanted, cpus.into());
    let entries = if is_rounded { wanted.max_entries } else { found.max_entries };
    // The kernel sets BPF_F_RDONLY_PROG on a devmap, because programs never write to one.
    let added = if map_type::name(found.kind).starts_with("devmap") { RDONLY_PROG } else { 0 };
    let mut differences = Vec::new();
    if !is_kind {
        differences.push(format!("type {}, not {}", map_type::name(found.kind), map_type::name(wanted.kind)));
    }
    for (field, found, wanted) in [
        ("keySize", found.key_size, wanted.key_size),
        ("valueSize", found.value_size, wanted.value_size),
        ("maxEntries", entries, wanted.max_entries),
        ("flags", found.flags & ASKABLE & !added, wanted.flags & !added),
    ] {
        if found != wanted {
            differences.push(format!("{field} {found}, not {wanted}"));
        }
    }
    differences
}

fn create(wanted: &Created) -> Result<OwnedFd> {
    let name = wanted.name.to_string_lossy();
    let Some(inner) = &wanted.inner else {
        let made = bpf::create_map(definition(&wanted.shape, &name));
        return made.map_err(|error| refused(&wanted.shape, error));
    };
    let sample = bpf::create_map(definition(inner, &name)).map_err(|error| of_inner(refused(inner, error)))?;
    bpf::create_map_of_maps(definition(&wanted.shape, &name), sample.as_fd()).map_err(|error| {
        if error.errno.raw_os_error() == ENOTSUPP {
            let (kind, inner) = (map_type::name(wanted.shape.kind), map_type::name(inner.kind));
            return Error::Unusable(format!("this kernel puts no {inner} into {kind}: give inner another type"));
        }
        refused(&wanted.shape, error)
    })
}

fn definition<'a>(shape: &Shape, name: &'a str) -> MapDefinition<'a> {
    let Shape { kind, key_size, value_size, max_entries, flags } = *shape;
    MapDefinition { kind, key_size, value_size, max_entries, flags, name }
}

fn refused(shape: &Shape, error: sys::Error) -> Error {
    match error.errno {
        Errno::INVAL | Errno::TOOBIG | Errno::OPNOTSUPP | Errno::PERM => Error::Unusable(format!(
            "the kernel refuses a {} with keySize {}, valueSize {}, maxEntries {}, flags {:#x}: {error}{}",
            map_type::name(shape.kind),
            shape.key_size,
            shape.value_size,
            shape.max_entries,
            shape.flags,
            if error.errno == Errno::PERM && map_type::is_for_networks(shape.kind) {
                "; maps of this type take CAP_NET_ADMIN, which the pinner keeps when it is started with --network-maps \
                 (networkMaps of the chart)"
            } else {
                ""
            }
        )),
        _ => error.into(),
    }
}

fn of_inner(error: Error) -> Error {
    match error {
        Error::Unusable(text) => Error::Unusable(format!("inner: {text}")),
        other => other,
    }
}
