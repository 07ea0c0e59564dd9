//! Releases what is kept, unless a pod on this node has it.

use std::ffi::CStr;
use std::os::fd::AsFd;

use super::list::list;
use super::observe::{Found, observe};
use super::publisher::Publisher;
use crate::error::{Error, Result};
use crate::sys::bpf;

impl Publisher {
    /// Releases what is kept of a persistent volume. Succeeds if there is nothing.
    ///
    /// # Errors
    /// [`Error::NotYet`] while it is published, as far as the kernel tells (since Linux 5.17; workspaces always), and
    /// as [`crate::store::Store::release`].
    pub fn release(&self, volume_id: &str) -> Result<()> {
        let _turn = self.turns.of_node();
        let published = list(&self.kubelet, &self.sources.store)?;
        if let Some(published) = published.iter().find(|listed| listed.volume_id == volume_id) {
            let target = published.target.path().display();
            return Err(Error::NotYet(format!(
                "volume {volume_id:?} is still published at {target}, so what is kept of it stays: end the pod that has it"
            )));
        }
        self.sources.store.release(volume_id)
    }

    /// Releases a map that belongs to the node. Succeeds if there is none.
    ///
    /// # Errors
    /// [`Error::NotYet`] while a volume has it.
    pub fn release_map(&self, name: &CStr) -> Result<()> {
        let store = &self.sources.store;
        let Some(kept) = store.node_map(name)? else { return Ok(()) };
        let id = bpf::map_info(kept.as_fd())?.id;
        for listed in list(&self.kubelet, store)? {
            if listed.layout.is_the_pods() {
                continue;
            }
            let Some(place) = self.kubelet.place(&listed.target)? else { continue };
            let Found::Volume(mounted) = observe(&place, None, store)? else { continue };
            if mounted.files()?.values().any(|file| file.map.info.id == id) {
                return Err(Error::NotYet(format!(
                    "map {name:?} is in the volume {:?} at {}, so it stays: end the pod that has it",
                    listed.volume_id,
                    place.path.display()
                )));
            }
        }
        store.release_node_map(name)
    }
}
