//! Delegations: what a pod may do with BPF by a token, instead of by `CAP_BPF` on the node.
//!
//! A token comes from a bpffs whose superblock belongs to the pod's user namespace and has the mount options
//! `delegate_*`, which only the node's root may set. That namespace does not exist yet when the volume is published. So
//! the pod's helper sends it through a socket in the volume:
//!
//! ```text
//! helper ── user namespace ─▶ worker ── opened context ─▶ pinner: sets delegate_*, creates, mounts on <target>/bpf
//!   (pod)                    (one per connection,        │
//!     ◀───────── "ok" ────────  forked by the delegator) ◀┘
//! ```
//! The **delegator** is a process of its own, started before the pinner locks itself, for three reasons. To enter a
//! user namespace takes `setns(2)`, `unshare(2)` and a single thread, which the pinner's filter forbids. A descriptor
//! that a pod sends may be a file of a filesystem that the pod itself serves: even closing it may hang for ever, so
//! that must not happen in the pinner, nor in a process that other pods need. And the delegator never gets what it
//! does not need: it has only `CAP_SYS_ADMIN`, sees none of the node's files, and its filter has neither `bpf(2)` nor any call that mounts.
//!
//! The pinner commits only contexts that a worker has opened. The type of a context that a pod opened cannot be seen.

pub mod channel;
pub mod delegator;
pub mod names;
pub mod remote;
mod worker;

use std::ffi::{CStr, CString};
use std::fmt;

use self::names::Table;
use crate::api;
use crate::error::{Error, Result};

pub use remote::{Delegator, Events, Opened};
pub use worker::REQUESTS;

/// The directory of a volume that the pod's bpffs is mounted on.
pub const BPF: &CStr = c"bpf";
/// The directory of a volume that has the socket.
pub const SOCKET: &CStr = c"socket";
/// The socket in that directory.
pub const CALL: &CStr = c"delegate";
/// The file of a volume that says what is delegated.
pub const RECORD: &CStr = c"delegation";
/// What the helper gets when the bpffs is mounted. Anything else is an error, in words.
pub const DONE: &[u8] = b"ok";

/// What a pod may do: a set of numbers of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegation([u64; 4]);

/// Each kind: where its names come from, its field in the API, its mount option.
const KINDS: [(Table, &str, &CStr); 4] = [
    (Table::Commands, "commands", c"delegate_cmds"),
    (Table::MapTypes, "map_types", c"delegate_maps"),
    (Table::ProgramTypes, "program_types", c"delegate_progs"),
    (Table::AttachTypes, "attach_types", c"delegate_attachs"),
];

impl Delegation {
    /// Parses a delegation of the API.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a name that this version does not know, and without a command.
    pub fn parse(delegation: &api::Delegation) -> Result<Self> {
        let api::Delegation { commands, map_types, program_types, attach_types } = delegation;
        let mut sets = [0; 4];
        for ((set, (table, field, _)), names) in
            sets.iter_mut().zip(KINDS).zip([commands, map_types, program_types, attach_types])
        {
            for name in names {
                let number = table.number(name).ok_or_else(|| {
                    let shown = crate::text::Quoted(name);
                    Error::InvalidArgument(format!("delegation.{field}: {shown} is no name that this version knows"))
                })?;
                *set |= 1 << number;
            }
        }
        if sets[0] == 0 {
            return Err(Error::InvalidArgument("delegation.commands: must have at least one".to_owned()));
        }
        Ok(Self(sets))
    }

    /// Reads what [`fmt::Display`] has written; `None` if it is anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut names = text.lines().zip(KINDS).map(|(line, (_, field, _))| {
            let names = line.strip_prefix(field)?.strip_prefix(':')?;
            Some(names.split_whitespace().map(str::to_owned).collect())
        });
        let [commands, map_types, program_types, attach_types] =
            [names.next()??, names.next()??, names.next()??, names.next()??];
        Self::parse(&api::Delegation { commands, map_types, program_types, attach_types }).ok()
    }

    /// As the API has it, each kind in the order of the kernel's numbers.
    #[must_use]
    pub fn to_api(&self) -> api::Delegation {
        let names = |kind: usize| self.names(kind).map(str::to_owned).collect();
        api::Delegation { commands: names(0), map_types: names(1), program_types: names(2), attach_types: names(3) }
    }

    /// The mount options. Numbers and not names, for which the kernel would need its BTF.
    pub fn options(&self) -> impl Iterator<Item = (&'static CStr, CString)> {
        let options = self.0.iter().zip(KINDS).filter(|(set, _)| **set != 0);
        options.map(|(set, (_, _, option))| (option, CString::new(format!("{set:#x}")).unwrap_or_default()))
    }

    fn names(&self, kind: usize) -> impl Iterator<Item = &'static str> {
        let (set, table) = (self.0[kind], KINDS[kind].0);
        (0..u64::BITS).filter(move |number| set >> number & 1 == 1).filter_map(move |number| table.name(number))
    }
}

/// A line for each kind: `commands: map_create prog_load`.
impl fmt::Display for Delegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        KINDS.iter().enumerate().try_for_each(|(kind, (_, field, _))| {
            write!(f, "{field}:")?;
            self.names(kind).try_for_each(|name| write!(f, " {name}"))?;
            writeln!(f)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> api::Delegation {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        api::Delegation {
            commands: names(&["prog_load", "map_create"]),
            map_types: names(&["hash"]),
            program_types: names(&["xdp", "xdp"]),
            attach_types: Vec::new(),
        }
    }

    #[test]
    fn the_record_is_read_back() {
        let delegation = Delegation::parse(&asked()).unwrap_or_default();
        assert_eq!(
            delegation.to_string(),
            "commands: map_create prog_load\nmap_types: hash\nprogram_types: xdp\nattach_types:\n"
        );
        assert_eq!(Delegation::read(&delegation.to_string()), Some(delegation));
        for text in ["", "commands: map_create\n", "commands: any\nmap_types:\nprogram_types:\nattach_types:\n"] {
            assert_eq!(Delegation::read(text), None, "{text}");
        }
    }

    #[test]
    fn everything_fits_into_the_record() {
        let all = Delegation([u64::MAX; 4]);
        assert!(all.to_string().len() < 4096, "{}", all.to_string().len());
        assert_eq!(Delegation::read(&all.to_string()).map(|read| read.to_string()), Some(all.to_string()));
    }

    #[test]
    fn mount_options_are_numbers() {
        let delegation = Delegation::parse(&asked()).unwrap_or_default();
        let options: Vec<_> = delegation.options().collect();
        let expected = [(c"delegate_cmds", c"0x21"), (c"delegate_maps", c"0x2"), (c"delegate_progs", c"0x40")];
        assert_eq!(options, expected.map(|(option, value)| (option, value.to_owned())));
    }

    #[test]
    fn unknown_names_are_refused_with_their_field() {
        let refused = |delegation: api::Delegation| {
            Delegation::parse(&delegation).err().map(|error| tonic::Status::from(error).message().to_owned())
        };
        let unknown = refused(api::Delegation { attach_types: vec!["any".to_owned()], ..asked() });
        assert!(unknown.is_some_and(|text| text.starts_with("delegation.attach_types: ") && text.contains("any")));
        assert!(
            refused(api::Delegation { commands: Vec::new(), ..asked() }).is_some_and(|text| text.contains("commands"))
        );
    }
}
