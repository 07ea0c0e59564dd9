//! The socket of a delegation, through which the pod's helper calls.
//!
//! A socket ends with the process that listens on it, and the file of a socket cannot be listened on again; so after a
//! restart a tmpfs with a new socket takes the place of the old one. Whoever was started before still sees the old
//! socket, where nobody answers: the helper gives up, and finds the new one when its container is restarted.

use std::os::fd::{AsFd, BorrowedFd};

use super::delegation_volume::{find, put};
use super::identify::Layout;
use super::list::list;
use super::publisher::Publisher;
use crate::delegation::{Delegator, SOCKET};
use crate::error::{Error, Result};
use crate::kubelet::Target;
use crate::sys::mount;
use crate::tree;

impl Publisher {
    /// Serves the delegations that are published already, but for those that are withdrawn. The result names those that failed.
    ///
    /// # Errors
    /// If the mount table cannot be read.
    pub fn serve_delegations(&self) -> Result<Vec<(Target, Error)>> {
        let Some(delegator) = &self.delegator else { return Ok(Vec::new()) };
        let mut failed = Vec::new();
        for listed in list(&self.kubelet, &self.sources.store)? {
            if listed.layout != Layout::Delegation {
                continue;
            }
            let served = find(&self.kubelet, &self.sources.store, &listed.target).and_then(|mounted| {
                if !mounted.has_socket()? {
                    return Ok(());
                }
                serve(delegator, &listed.target, mounted.shown_id(), mounted.root.as_fd())
            });
            failed.extend(served.err().map(|error| (listed.target, error)));
        }
        Ok(failed)
    }
}

/// Gives a volume a new socket, and closes the one before.
pub(super) fn serve(delegator: &Delegator, target: &Target, volume_id: &str, carrier: BorrowedFd<'_>) -> Result<()> {
    let source = tree::delegation_source(volume_id);
    let socket = mount::detached(c"tmpfs", &[(c"source", &source), (c"mode", c"0755"), (c"size", c"4k")])?;
    delegator.listen(target, socket.as_fd())?;
    let put = mount::make_superblock_read_only(socket.as_fd()).and_then(|()| put(socket.as_fd(), carrier, SOCKET));
    put.or_else(|error| {
        delegator.forget(target)?;
        Err(error.into())
    })
}
