//! The pinner locks itself in: what it can do for good is what serving takes, whoever should come to run in it.
//!
//! In the order of time: [`crate::privileges`], [`reach`] and [`size`] before there is a thread, [`calls`] when all is open.

mod calls;

use landlock::{AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

pub use calls::calls;

use crate::limits::{DATA, DESCRIPTORS};
use crate::sys::{Context, Result};

/// Takes TCP, abstract unix sockets and signals to others from the calling thread and those it will start, as far as this
/// kernel's Landlock can (Linux 6.7, 6.12); whether it could. Landlock's rules for files would forbid `move_mount`.
///
/// # Errors
/// Where Landlock is there and refuses.
pub fn reach() -> std::result::Result<RulesetStatus, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .set_compatibility(CompatLevel::BestEffort);
    Ok(rules.restrict_self()?.ruleset)
}

/// Bounds memory and descriptors of this process, and lets nobody look into it: no core, no debugger of the same user.
/// Maps are not its memory, but the kernel's.
///
/// # Errors
/// Whatever `setrlimit(2)` and `prctl(2)` say.
pub fn size() -> Result<()> {
    for (resource, name, most) in [
        (Resource::Nofile, "setrlimit(NOFILE)", DESCRIPTORS),
        (Resource::Data, "setrlimit(DATA)", DATA),
        (Resource::Core, "setrlimit(CORE)", 0),
    ] {
        let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).context(name, || most.to_string())?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("prctl(PR_SET_DUMPABLE)", String::new)
}
