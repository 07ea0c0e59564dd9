//! Limits what the pinner creates on a node, so that no definition and no number of claims takes all of its memory.
//!
//! What the store keeps is counted each time, as the kernel has it; only maps that are being created are remembered.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::{CREATED, Kept, Store};
use crate::error::{Error, Result};
use crate::map_memory::estimate;
use crate::request::{Created, Shape};
use crate::sys;
use crate::sys::bpf::{self, MapInfo, ObjectKind};
use crate::sys::path::{entries, through_descriptor};

/// The most that the pinner creates.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maps, of the node and of all persistent volumes.
    pub maps: u64,
    /// Bytes of all maps together, each counted as when it is full.
    pub memory: u64,
    /// Workspaces.
    pub workspaces: u64,
}

/// How much of the limits is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Maps.
    pub maps: u64,
    /// Bytes.
    pub memory: u64,
    /// Workspaces.
    pub workspaces: u64,
}

/// The limits, and the reservations.
#[derive(Debug)]
pub struct Budget {
    pub(super) limits: Limits,
    cpus: u64,
    making: Mutex<Usage>,
}

/// Reserves room for a map that is being created, until dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    budget: &'a Budget,
    memory: u64,
}

impl Budget {
    pub(super) fn new(limits: Limits, cpus: u64) -> Self {
        Self { limits, cpus, making: Mutex::default() }
    }

    fn making(&self) -> MutexGuard<'_, Usage> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut making = self.budget.making();
        making.maps -= 1;
        making.memory -= self.memory;
    }
}

impl Store {
    /// The possible CPUs of this kernel, for which per-CPU values are allocated.
    #[must_use]
    pub fn cpus(&self) -> u64 {
        self.budget.cpus
    }

    /// The limits of this node.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.budget.limits
    }

    /// Reserves room for a map. Hold it until the map is pinned in the store, so that concurrent calls count it.
    ///
    /// # Errors
    /// [`Error::Unusable`] if it could never fit, [`Error::Exhausted`] if it does not fit beside what is kept.
    pub fn reserve(&self, wanted: &Created) -> Result<Reservation<'_>> {
        let Limits { maps: most, memory: limit, .. } = self.limits();
        let of = |shape: &Shape| estimate(shape, self.cpus());
        // A sample inner map exists while the outer one is created.
        let memory = of(&wanted.shape).saturating_add(wanted.inner.as_ref().map_or(0, of));
        if memory > limit {
            return Err(Error::Unusable(format!(
                "it would take {memory} bytes on this node, and all maps that the driver makes may take {limit} together: \
                 make it smaller, or raise --created-memory-max of the pinner (budget.createdMemory of the chart)"
            )));
        }
        let mut making = self.budget.making();
        let kept = self.usage()?;
        let (maps, used) = (kept.maps + making.maps, kept.memory.saturating_add(making.memory));
        let instead = "give up what nobody uses any more, or raise";
        if maps >= most {
            return Err(Error::Exhausted(format!(
                "the driver keeps {maps} maps on this node, and may make {most}: {instead} --created-maps-max of the pinner \
                 (budget.createdMaps of the chart)"
            )));
        }
        if memory > limit.saturating_sub(used) {
            return Err(Error::Exhausted(format!(
                "it would take {memory} bytes, and the maps that the driver keeps on this node take {used} of the {limit} \
                 that they may: {instead} --created-memory-max of the pinner (budget.createdMemory of the chart)"
            )));
        }
        making.maps += 1;
        making.memory += memory;
        Ok(Reservation { budget: &self.budget, memory })
    }

    /// Refuses a workspace beyond the limit.
    ///
    /// # Errors
    /// [`Error::Exhausted`].
    pub(super) fn check_workspaces(&self) -> Result<()> {
        let most = self.limits().workspaces;
        let kept = self.workspaces()?.len();
        if kept as u64 >= most {
            return Err(Error::Exhausted(format!(
                "the driver keeps {kept} workspaces on this node, and may make {most}: delete claims that nobody uses any \
                 more, or raise --workspaces-max of the pinner (budget.workspaces of the chart)"
            )));
        }
        Ok(())
    }

    /// Counts what is kept.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        self.count(self.subdirectory(CREATED)?.as_fd(), &mut usage)?;
        for id in self.kept_volumes()? {
            match self.kept(&id) {
                // Not created by the pinner.
                Ok(Kept::Nothing) | Err(Error::Unusable(_)) => {}
                Ok(Kept::Workspace(_)) => usage.workspaces += 1,
                Ok(Kept::Maps(directory)) => self.count(directory.as_fd(), &mut usage)?,
                Err(error) => return Err(error),
            }
        }
        Ok(usage)
    }

    fn count(&self, directory: BorrowedFd<'_>, usage: &mut Usage) -> Result<()> {
        for entry in entries(directory, usize::MAX)? {
            if entry.kind != FileType::RegularFile {
                continue;
            }
            let map = match bpf::open_pin(&through_descriptor(directory, &entry.name)) {
                // Removed meanwhile; or a BPF link, which the pinner did not pin.
                Err(sys::Error { errno: Errno::NOENT | Errno::INVAL, .. }) => continue,
                map => map?,
            };
            if bpf::object_kind(map.as_fd())? != ObjectKind::Map {
                continue;
            }
            let MapInfo { kind, key_size, value_size, max_entries, flags, .. } = bpf::map_info(map.as_fd())?;
            let full = estimate(&Shape { kind, key_size, value_size, max_entries, flags }, self.cpus());
            usage.maps += 1;
            usage.memory = usage.memory.saturating_add(full.max(bpf::map_memory(map.as_fd())?));
        }
        Ok(())
    }
}
