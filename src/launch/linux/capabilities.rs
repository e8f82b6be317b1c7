//! Drops capabilities from every set for good (capabilities(7)).

use super::During;
use crate::launch::protocol::StageError;
use rustix::io::Errno;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

/// Bounding set, ambient set, secure bits, then the rest; afterwards a look that nothing is left.
pub(super) fn drop_all() -> Result<(), StageError> {
    keep(CapabilitySet::empty())
}

/// The same for this thread, which keeps `CAP_SYS_PTRACE`, and can't pass it on: it looks into processes of the sandbox
/// that other processes of the same user can't look into.
pub(super) fn keep_tracing() -> Result<(), StageError> {
    keep(CapabilitySet::SYS_PTRACE)
}

fn keep(kept: CapabilitySet) -> Result<(), StageError> {
    for number in 0..64 {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // Past the last capability that this kernel knows.
            Err(Errno::INVAL) => break,
            other => other.during("prctl PR_CAPBSET_DROP")?,
        }
    }
    clear_ambient_capability_set().during("prctl PR_CAP_AMBIENT")?;
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(bits).during("prctl PR_SET_SECUREBITS")?;
    let left = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, left).during("capset")?;
    if capabilities(None).during("capget")? == left {
        Ok(())
    } else {
        Err(Errno::PERM).during("capget")
    }
}
