//! Publishes a delegation.

use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::carriers::Gives;
use super::delegation_record::Record;
use super::delegation_socket::serve;
use super::identify::Layout;
use super::mark::{CARRIES, Mark, Marks};
use super::mismatch::{otherwise, same_volume};
use super::publish_maps::Outcome;
use super::publisher::{Publisher, Terms};
use crate::delegation::{BPF, RECORD, SOCKET};
use crate::error::{Error, Result};
use crate::kubelet::MOUNT;
use crate::request::DelegationVolume;
use crate::sys::path::ensure_entry;
use crate::sys::{self, Context, mount};
use crate::tree;

impl Publisher {
    /// Publishes a delegation.
    ///
    /// # Errors
    /// As the API's `PublishDelegation`.
    pub fn publish_delegation(&self, asked: &DelegationVolume, is_cancelled: &dyn Fn() -> bool) -> Result<Outcome> {
        let delegator = self.delegator()?;
        let (place, _) = self.open_place(&asked.target, &asked.id)?;
        if let Some(mounted) = self.mounted(&place, &asked.id)? {
            same_volume(&mounted, &asked.id, Layout::Delegation, None, &place)?;
            let request = asked.request.as_deref().map_or(Mark::NOTHING, Mark::of);
            if mounted.delegation()?.allowed != asked.delegation {
                return Err(otherwise(&place, "another delegation"));
            }
            if request != Mark::NOTHING && mounted.marks.origin != request {
                return Err(otherwise(&place, "another request"));
            }
            // A pinner that was killed may have left it without.
            if !delegator.serves(&asked.target) {
                serve(delegator, &asked.target, &asked.id, mounted.root.as_fd())?;
            }
            return Ok(Outcome::Unchanged);
        }
        let tree = self.carrier(asked)?;
        let terms = Terms { volume_id: &asked.id, single_target: false, gives: Gives::Delegation };
        let proceed = || if is_cancelled() { Err(Error::Cancelled) } else { Ok(()) };
        self.attach(&tree, &place, None, &terms, proceed)?;
        serve(delegator, &asked.target, &asked.id, tree.as_fd()).inspect_err(|_| {
            let _ = mount::detach(place.parent.as_fd(), MOUNT);
        })?;
        Ok(Outcome::Created)
    }

    fn carrier(&self, asked: &DelegationVolume) -> sys::Result<OwnedFd> {
        let source = tree::delegation_source(&asked.id);
        let mut options = vec![(c"source", source.as_c_str()), (c"mode", c"0700"), (c"size", c"16k")];
        options.extend(self.composer.label.as_deref().map(|label| (c"context", label)));
        let carrier = mount::detached_unlocked(c"tmpfs", &options)?;
        let change_mode = |name: &CStr, mode: u32| {
            rustix::fs::chmodat(&carrier, name, Mode::from_raw_mode(mode), AtFlags::empty())
                .context("chmod", || name.to_string_lossy().into_owned())
        };
        for name in [BPF, SOCKET] {
            ensure_entry(carrier.as_fd(), name)?;
            change_mode(name, 0o555)?;
        }
        let text = Record { allowed: asked.delegation.clone(), owner: asked.owner.clone() }.to_string();
        let object = || RECORD.to_string_lossy().into_owned();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let record = rustix::fs::openat(&carrier, RECORD, flags, Mode::empty()).context("openat", object)?;
        File::from(record).write_all(text.as_bytes()).context("write", object)?;
        change_mode(RECORD, 0o444)?;
        change_mode(c".", 0o555 | CARRIES)?;
        let origin = asked.request.as_deref().map_or(Mark::NOTHING, Mark::of);
        // No mark of a volume: that would say that it is one with maps.
        Marks { volume: Mark::NOTHING, origin }.write(carrier.as_fd(), c".")?;
        mount::make_superblock_read_only(carrier.as_fd())?;
        Ok(carrier)
    }
}
