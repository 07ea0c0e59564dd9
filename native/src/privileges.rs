//! Drops the privileges that the pinner does not need.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, capabilities_secure_bits,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs,
};

use crate::sys::{Context, Result};

/// What every pinner keeps: for mounts and BPF ids, for owners of pins, for creating maps, for opening other users'
/// pins.
pub const KEPT: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::CHOWN).union(CapabilitySet::BPF).union(CapabilitySet::DAC_OVERRIDE);

/// The names of those of `wanted` that the process lacks.
///
/// # Errors
/// If `capget(2)` fails.
pub fn missing(wanted: CapabilitySet) -> Result<Vec<String>> {
    let effective = capabilities(None).context("capget", String::new)?.effective;
    Ok((wanted - effective).iter_names().map(|(name, _)| format!("CAP_{name}")).collect())
}

/// Uid 0 gives no capabilities, and these bits are locked.
const ROOT_IS_NOBODY: CapabilitiesSecureBits = CapabilitiesSecureBits::NO_ROOT
    .union(CapabilitiesSecureBits::NO_ROOT_LOCKED)
    .union(CapabilitiesSecureBits::NO_SETUID_FIXUP)
    .union(CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED)
    .union(CapabilitiesSecureBits::KEEP_CAPS_LOCKED)
    .union(CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE)
    .union(CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED);

/// Limits the calling thread, and the threads that it will start, to the capabilities `kept`, irrevocably: the others
/// leave the bounding set, uid 0 gives none, and executing a program gains none.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`, unless the capabilities are gone already.
pub fn keep_only(kept: CapabilitySet) -> Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(true) => {
                remove_capability_from_bounding_set(capability)
                    .context("prctl(PR_CAPBSET_DROP)", || number.to_string())?;
            }
            Ok(false) => {}
            // Beyond the last capability of this kernel.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno).context("prctl(PR_CAPBSET_READ)", || number.to_string()),
        }
    }
    if capabilities_secure_bits().context("prctl(PR_GET_SECUREBITS)", String::new)? != ROOT_IS_NOBODY {
        set_capabilities_secure_bits(ROOT_IS_NOBODY).context("prctl(PR_SET_SECUREBITS)", String::new)?;
    }
    clear_ambient_capability_set().context("prctl(PR_CAP_AMBIENT)", String::new)?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("capset", String::new)?;
    set_no_new_privs(true).context("prctl(PR_SET_NO_NEW_PRIVS)", String::new)
}
