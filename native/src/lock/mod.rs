//! The pinner restricts itself, irrevocably, to what serving needs, whatever code may come to run in it.
//!
//! The delegator does so, too, with a filter of its own ([`delegator_calls`]).
//!
//! In this order: [`crate::privileges`], [`reach`] and [`size`] before any thread starts, [`calls()`] when everything
//! is open.

mod calls;

use landlock::{AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

pub use calls::{calls, delegator_calls};

use crate::limits::{DATA, DESCRIPTORS};
use crate::sys::{Context, Result};

/// Denies TCP, abstract unix sockets and signals to other processes, to the calling thread and those that it will
/// start, as far as this kernel's Landlock can (Linux 6.7, 6.12); the result says how far. Landlock's file rules would
/// forbid `move_mount`.
///
/// # Errors
/// If Landlock is there but refuses.
pub fn reach() -> std::result::Result<RulesetStatus, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .set_compatibility(CompatLevel::BestEffort);
    Ok(rules.restrict_self()?.ruleset)
}

/// Limits the process's memory and descriptors, and forbids core dumps and tracing by the same user. Maps do not count:
/// they are the kernel's memory.
///
/// # Errors
/// If `setrlimit(2)` or `prctl(2)` fails.
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
