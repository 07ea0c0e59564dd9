//! The store: a bpffs of the pinner's own, with the maps that it made.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;

use super::{IfAbsent, Map, map};
use crate::error::{Error, Result};
use crate::map_type;
use crate::request::Created;
use crate::sys;
use crate::sys::bpf::{self, MapDefinition, MapInfo};
use crate::sys::mount::{self, BPF_MAGIC};
use crate::sys::path::{ensure_directory, open_beneath, through_descriptor};

/// The directory on a bpffs where created maps are pinned, so that they outlive the pinner.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// Opens the store, and mounts a bpffs there unless the directory lies on one already.
    ///
    /// # Errors
    /// When directory or mount cannot be made.
    pub fn open_or_mount(directory: PathBuf) -> sys::Result<Self> {
        ensure_directory(&directory)?;
        let place = open_beneath(&directory, "".as_ref())?;
        if mount::file_system(place.as_fd())?.magic != BPF_MAGIC {
            let fresh = mount::detached(c"bpf", &[(c"source", c"csi-bpffs-store"), (c"mode", c"0700")])?;
            mount::attach(fresh.as_fd(), place.as_fd(), c"")?;
        }
        Ok(Self { directory })
    }

    /// Opens a map of the store, after making it where it is absent and may be made.
    ///
    /// # Errors
    /// [`Error::Unusable`] when the store holds a map of that name that was defined otherwise, or the kernel refuses the
    /// definition; [`Error::NotYet`] with [`IfAbsent::Fail`].
    pub fn open(&self, wanted: &Created, if_absent: IfAbsent) -> Result<Map> {
        let directory = open_beneath(&self.directory, "".as_ref())?;
        let pin = through_descriptor(directory.as_fd(), &wanted.name);
        // Twice, because another call may pin the same name between our look and our pin.
        for _ in 0..2 {
            match bpf::open_pin(&pin) {
                Ok(fd) => return self.check_definition(map(fd)?, wanted),
                Err(error) if error.errno != Errno::NOENT => return Err(error.into()),
                Err(_) if if_absent == IfAbsent::Fail => {
                    return Err(Error::NotYet("it is made when a volume with it is first published".to_owned()));
                }
                Err(_) => {}
            }
            let fresh = create(wanted)?;
            match bpf::pin(fresh.as_fd(), &pin) {
                Ok(()) => return map(fresh),
                Err(error) if error.errno != Errno::EXIST => return Err(error.into()),
                Err(_) => {}
            }
        }
        Err(Error::NotYet(format!("{:?} keeps appearing and vanishing in the store", wanted.name)))
    }

    fn check_definition(&self, found: Map, wanted: &Created) -> Result<Map> {
        let differences = differences(&found.info, wanted);
        if differences.is_empty() {
            return Ok(found);
        }
        let pin = self.directory.join(wanted.name.to_string_lossy().as_ref());
        Err(Error::Unusable(format!(
            "the store holds it with {}; give the new definition another name, or remove {} once no pod uses it",
            differences.join(", "),
            pin.display()
        )))
    }
}

fn differences(found: &MapInfo, wanted: &Created) -> Vec<String> {
    // Above these the kernel adds flags of its own.
    const ASKABLE: u32 = (1 << 11) - 1;
    // With an LRU list for each CPU, the kernel rounds to a multiple of their number.
    const NO_COMMON_LRU: u32 = 1 << 1;
    let rounded = wanted.flags & NO_COMMON_LRU != 0 && found.max_entries / wanted.max_entries.max(1) == 1;
    let entries = if rounded { wanted.max_entries } else { found.max_entries };
    // Programs never write to a devmap, and the kernel says so by BPF_F_RDONLY_PROG.
    let added = if map_type::name(found.kind).starts_with("devmap") { 1 << 7 } else { 0 };
    let mut differences = Vec::new();
    if found.kind != wanted.kind {
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
    let definition = MapDefinition {
        kind: wanted.kind,
        key_size: wanted.key_size,
        value_size: wanted.value_size,
        max_entries: wanted.max_entries,
        flags: wanted.flags,
        name: &name,
    };
    bpf::create_map(definition).map_err(|error| match error.errno {
        Errno::INVAL | Errno::TOOBIG | Errno::OPNOTSUPP | Errno::PERM => Error::Unusable(format!(
            "the kernel refuses a {} with keySize {}, valueSize {}, maxEntries {}, flags {:#x}: {error}{}",
            map_type::name(wanted.kind),
            wanted.key_size,
            wanted.value_size,
            wanted.max_entries,
            wanted.flags,
            if error.errno == Errno::PERM && map_type::is_for_networks(wanted.kind) {
                "; maps of this type take CAP_NET_ADMIN, which the pinner keeps when it is started with --network-maps"
            } else {
                ""
            }
        )),
        _ => error.into(),
    })
}
