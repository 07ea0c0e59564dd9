//! Volumes: how they are built, attached, recognized and removed.
//!
//! A volume is a bpffs **A** with a read-only superblock, so nobody can open its maps for writing or change its
//! directory, whatever their uid. A map granted for writing is also pinned in a second bpffs **B** with a writable
//! superblock, and that single file is mounted over its name in A: no directory of B is reachable. For a pod with a
//! user namespace, a read-only tmpfs, which can be id-mapped, takes the place of A's directory. A bind mount of a
//! volume without the mounts in it gives less: the same maps read-only, or, of the tmpfs, only names.
//!
//! A volume's root is a directory of its bpffs, beside the files that the kernel puts into each bpffs.
//!
//! A workspace is a bpffs that its pod may write to: a copy of the mount in the store. A delegation is a read-only tmpfs
//! in which a bpffs of the pod's own user namespace is mounted when the pod has asked for it. No pod has a workspace or
//! another carrier of descriptors together with a read-only map.
//!
//! Everything is built detached and attached with one call. The mount table is the only database.

mod allow_delegation;
mod build;
mod carriers;
mod change;
mod delegated_map;
mod delegation_bpffs;
mod delegation_record;
mod delegation_socket;
mod delegation_volume;
mod generation;
mod identify;
mod list;
mod mark;
mod mismatch;
mod observe;
mod pod_volumes;
mod publish_delegation;
mod publish_maps;
mod publish_workspace;
mod publisher;
mod release;
mod renew;
mod turns;
mod unpublish;
mod walk;

use rustix::fs::Mode;

pub use change::{Change, Kind as ChangeKind};
pub use generation::count as generations;
pub use identify::Layout;
pub use list::{Listed, list};
pub use observe::{Found, Mounted, observe};
pub use publish_maps::{Given, Outcome, Published, Refusal};
pub use publisher::Publisher;
pub use walk::{Cut, PinnedMap};

/// File modes: who may do what in a volume, besides what its superblocks refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Modes {
    directory: Mode,
    read_only: Mode,
    read_write: Mode,
}

impl Modes {
    /// With a group, only it and root may use the volume; without, everyone who reaches the path, which nobody outside
    /// the pod does.
    ///
    /// A pod with a user namespace sees the pins' owners unmapped, so their group is not its own; instead the id-mapped
    /// directory keeps others out.
    const fn new(gid: Option<u32>, user_namespace: bool) -> Self {
        let (directory, read_only, read_write) = match (gid, user_namespace) {
            (Some(_), false) => (0o550, 0o440, 0o660),
            (Some(_), true) => (0o550, 0o444, 0o666),
            (None, _) => (0o555, 0o444, 0o666),
        };
        Self {
            directory: Mode::from_raw_mode(directory),
            read_only: Mode::from_raw_mode(read_only),
            read_write: Mode::from_raw_mode(read_write),
        }
    }
}
