//! Volumes: what one looks like, how it is built, attached, recognised and taken away.
//!
//! A volume is a bpffs **A** with a read-only superblock, so that nobody can open its maps for writing or change its
//! directory, whatever their uid. A map granted for writing is pinned in a second bpffs **B** too, whose superblock is
//! writable, and only that one file is mounted over its name in A: no directory of B can be reached. For a pod with a user
//! namespace of its own the place of A's directory is taken by a read-only tmpfs, which can be id-mapped. What is bound
//! without the files that are mounted in it has less: those maps to read, or names alone.
//!
//! The root of a volume is a directory of its bpffs, and what the kernel puts into each bpffs lies beside that.
//!
//! A workspace is a bpffs that its pod may write to: a copy of the mount that the store keeps of it. No pod has one, or
//! anything else that carries descriptors, beside a map that it may only read.
//!
//! Everything is built detached and attached with one call. The mount table is the only database.

mod build;
mod carriers;
mod change;
mod generation;
mod identify;
mod list;
mod mark;
mod observe;
mod pod_volumes;
mod publish_maps;
mod publish_workspace;
mod publisher;
mod release;
mod renew;
mod unpublish;
mod walk;

use rustix::fs::Mode;

pub use change::{Change, Kind as ChangeKind};
pub use generation::count as generations;
pub use identify::Layout;
pub use list::{Listed, list};
pub use observe::{Found, Mounted, observe};
pub use publish_maps::{Outcome, Refusal};
pub use publisher::Publisher;
pub use walk::{Cut, PinnedMap};

/// Who may do what in a volume, apart from what its superblocks refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Modes {
    directory: Mode,
    read_only: Mode,
    read_write: Mode,
}

impl Modes {
    /// With a group, it and root alone; without, everyone who reaches the path, which nobody outside the pod does.
    ///
    /// A pod with a user namespace sees the owners of the pins as they are on the host, where its group has another
    /// number. There the directory, which is id-mapped, keeps others out.
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
