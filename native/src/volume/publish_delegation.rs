//! Publishes a delegation, and mounts the bpffs of a pod that calls.
//!
//! The volume is a read-only tmpfs with the record of what is delegated, and two empty directories. On `socket` a tmpfs
//! with the socket is mounted, on `bpf` the pod's bpffs. A socket ends with the process that listens on it, and the
//! file of a socket cannot be listened on again; so after a restart a tmpfs with a new socket takes the place of the
//! old one. Whoever was started before still sees the old socket, where nobody answers: the helper gives up, and finds
//! the new one when its container is restarted.

use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::PoisonError;

use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::carriers::Gives;
use super::delegation_record::Record;
use super::identify::Layout;
use super::list::list;
use super::mark::{CARRIES, Mark, Marks};
use super::mismatch::{otherwise, same_volume};
use super::observe::{Found, Mounted, observe};
use super::publish_maps::Outcome;
use super::publisher::{Publisher, Terms};
use crate::delegation::{BPF, Delegator, Opened, RECORD, SOCKET};
use crate::error::{Error, Result};
use crate::kubelet::{Kubelet, MOUNT, Target};
use crate::request::DelegationVolume;
use crate::store::Store;
use crate::sys::path::{ensure_entry, entries};
use crate::sys::{self, Context, mount};
use crate::tree;

/// There are two.
const LISTINGS_MAX: usize = 16;

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
                if !is_mount(&mounted, SOCKET)? {
                    return Ok(());
                }
                serve(delegator, &listed.target, mounted.shown_id(), mounted.root.as_fd())
            });
            failed.extend(served.err().map(|error| (listed.target, error)));
        }
        Ok(failed)
    }

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

    /// # Errors
    /// [`Error::Unusable`] if this pinner has none, because the kernel has no BPF tokens.
    fn delegator(&self) -> Result<&Delegator> {
        self.delegator.as_ref().ok_or_else(|| {
            let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
            Error::Unusable(format!("this node's kernel, {kernel}, has no BPF tokens: take Linux 6.9 or newer"))
        })
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

impl Mounted {
    /// Whether the bpffs of a delegation is mounted.
    ///
    /// # Errors
    /// If `statx(2)` fails.
    pub fn is_delegated(&self) -> Result<bool> {
        is_mount(self, BPF)
    }
}

/// Whether something is mounted on a directory of a volume.
fn is_mount(mounted: &Mounted, name: &CStr) -> Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(&mounted.root, name, flags, StatxFlags::TYPE);
    let stat = stat.context("statx", || name.to_string_lossy().into_owned())?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The delegation that is published at `target`.
pub(super) fn find(kubelet: &Kubelet, store: &Store, target: &Target) -> Result<Mounted> {
    let place = kubelet.place(target)?.ok_or_else(|| absent(target))?;
    match observe(&place, None, store)? {
        Found::Volume(mounted) if mounted.layout == Layout::Delegation => Ok(mounted),
        _ => Err(absent(target)),
    }
}

fn absent(target: &Target) -> Error {
    Error::NotFound(format!("no delegation is published at {}", target.path().display()))
}

/// Gives a volume a new socket, and closes the one before.
fn serve(delegator: &Delegator, target: &Target, volume_id: &str, carrier: BorrowedFd<'_>) -> Result<()> {
    let source = tree::delegation_source(volume_id);
    let socket = mount::detached(c"tmpfs", &[(c"source", &source), (c"mode", c"0755"), (c"size", c"4k")])?;
    delegator.listen(target, socket.as_fd())?;
    let put = mount::make_superblock_read_only(socket.as_fd()).and_then(|()| put(socket.as_fd(), carrier, SOCKET));
    put.or_else(|error| {
        delegator.forget(target)?;
        Err(error.into())
    })
}

/// Mounts a tree on a directory of a volume, in place of what is mounted there.
fn put(tree: BorrowedFd<'_>, carrier: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
    clear(carrier, name)?;
    mount::attach(tree, carrier, name)
}

/// Unmounts what is mounted on a directory of a volume.
fn clear(carrier: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
    loop {
        match mount::detach(carrier, name) {
            Ok(()) => {}
            Err(error) if error.errno == Errno::INVAL => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
