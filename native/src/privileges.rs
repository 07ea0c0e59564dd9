//! Giving up what the pinner does not need.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, capabilities_secure_bits,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs,
};

use crate::sys::{Context, Result};

/// What every pinner keeps: mounts and ids, ownership of pins, making maps, opening pins of other users.
pub const KEPT: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::CHOWN).union(CapabilitySet::BPF).union(CapabilitySet::DAC_OVERRIDE);

/// Those of `wanted` that the process does not have, by name.
///
/// # Errors
/// Whatever `capget(2)` says.
pub fn missing(wanted: CapabilitySet) -> Result<Vec<String>> {
    let effective = capabilities(None).context("capget", String::new)?.effective;
    Ok((wanted - effective).iter_names().map(|(name, _)| format!("CAP_{name}")).collect())
}

/// Being root means nothing by itself, and these bits cannot be changed again.
const ROOT_IS_NOBODY: CapabilitiesSecureBits = CapabilitiesSecureBits::NO_ROOT
    .union(CapabilitiesSecureBits::NO_ROOT_LOCKED)
    .union(CapabilitiesSecureBits::NO_SETUID_FIXUP)
    .union(CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED)
    .union(CapabilitiesSecureBits::KEEP_CAPS_LOCKED)
    .union(CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE)
    .union(CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED);

/// Leaves the calling thread, and those it will start, with the capabilities `kept` at most, for good: they are taken from
/// the bounding set too, being root gives none, and no program that is executed can bring any back.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`, unless they are gone already.
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
            // Beyond the last one that this kernel knows.
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
