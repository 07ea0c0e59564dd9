//! The bpffs that a delegation gives to a pod that calls.

use std::os::fd::AsFd;
use std::sync::PoisonError;

use rustix::fs::{AtFlags, Mode};

use super::delegation_volume::{absent, find, put};
use super::publisher::Publisher;
use crate::delegation::{BPF, Opened};
use crate::error::Result;
use crate::kubelet::Target;
use crate::sys::path::entries;
use crate::sys::{Context, mount};
use crate::tree;

/// There are two.
const LISTINGS_MAX: usize = 16;

impl Publisher {
    /// Creates the bpffs of a pod in a context that was opened in its user namespace, and mounts it in the volume in
    /// place of an older one.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the volume is not there any more, or withdrawn, and any kernel error.
    pub fn mount_delegated(&self, target: &Target, opened: &Opened) -> Result<()> {
        let _alone = self.delegating.lock().unwrap_or_else(PoisonError::into_inner);
        if self.delegator()?.target(opened.key).as_ref() != Some(target) {
            return Err(absent(target));
        }
        let mounted = find(&self.kubelet, &self.sources.store, target)?;
        let source = tree::delegation_source(mounted.shown_id());
        let delegated: Vec<_> = mounted.delegation()?.allowed.options().collect();
        let mut options = vec![(c"source", source.as_c_str())];
        options.extend(delegated.iter().map(|(option, value)| (*option, value.as_c_str())));
        let bpffs = mount::detached_in(opened.context.as_fd(), c"bpf", &options)?;
        // Kernels with CONFIG_BPF_PRELOAD put listings of all the node's maps and programs there, which cannot be removed.
        // They belong to this process, as no user of the pod's namespace; without a mode, nobody else can read them.
        for listing in entries(bpffs.as_fd(), LISTINGS_MAX)? {
            rustix::fs::chmodat(&bpffs, &listing.name, Mode::empty(), AtFlags::empty())
                .context("chmod", || listing.name.to_string_lossy().into_owned())?;
        }
        Ok(put(bpffs.as_fd(), mounted.root.as_fd(), BPF)?)
    }
}
