//! Withdraws a delegation, and gives it back.

use std::os::fd::AsFd;
use std::sync::PoisonError;

use super::delegation_socket::serve;
use super::delegation_volume::{absent, clear, find};
use super::publisher::Publisher;
use crate::delegation::{BPF, SOCKET};
use crate::error::Result;
use crate::kubelet::Target;

impl Publisher {
    /// Gives a published delegation its socket, or takes the socket and the bpffs away. Returns whether that changed anything.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the delegation is not there, and any kernel error.
    pub fn allow_delegation(&self, volume_id: &str, target: &Target, allowed: bool) -> Result<bool> {
        let delegator = self.delegator()?;
        let mounted = find(&self.kubelet, &self.sources.store, target)?;
        if !mounted.is(volume_id) {
            return Err(absent(target));
        }
        let is_served = delegator.serves(target);
        if allowed == is_served {
            return Ok(false);
        }
        if allowed {
            serve(delegator, target, volume_id, mounted.root.as_fd())?;
            return Ok(true);
        }
        let _alone = self.delegating.lock().unwrap_or_else(PoisonError::into_inner);
        delegator.forget(target)?;
        // Without a socket, a pinner that starts again does not serve it.
        for name in [SOCKET, BPF] {
            clear(mounted.root.as_fd(), name)?;
        }
        Ok(true)
    }
}
