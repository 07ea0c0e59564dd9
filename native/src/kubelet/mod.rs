//! The kubelet's directory: where it wants volumes, and what it says of each.
//!
//! ```text
//! <directory>/pods/<pod>/volumes/kubernetes.io~csi/<volume>/mount           the target: created and mounted on here
//! <directory>/pods/<pod>/volumes/kubernetes.io~csi/<volume>/vol_data.json   the kubelet's record of the volume
//! ```
//! No other path can be a target. So the pinner never touches another kind of volume or anything inside a volume, and
//! finds a pod's volumes side by side.

mod vouch;

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::sys::path::{beneath, open_beneath, open_within};
use crate::sys::{self, Context};

pub use vouch::Lifecycle;

/// The last element of every target.
pub const MOUNT: &CStr = c"mount";

/// The kubelet's directory.
#[derive(Debug)]
pub struct Kubelet {
    /// As the kubelet spells it, and so the prefix of targets.
    directory: PathBuf,
    /// As the mount table spells it, if the kubelet's path is a symbolic link.
    resolved: PathBuf,
    /// Its subdirectory `pods`. Mounts down to here are the administrator's, mounts below are volumes.
    pods: OwnedFd,
    /// The driver that `vol_data.json` must name before a volume is touched.
    driver: Option<String>,
}

/// Where the kubelet wants a volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    path: PathBuf,
    /// The volume's directory, relative to `pods`.
    volume: PathBuf,
}

/// An opened target.
#[derive(Debug)]
pub struct Place {
    /// The volume's directory. The target, if it exists, is [`MOUNT`] in it.
    pub parent: OwnedFd,
    /// The target's whole path, for messages.
    pub path: PathBuf,
}

impl Kubelet {
    /// Opens the directory. With a `driver`, a volume is touched only if its `vol_data.json` names that driver; with
    /// `None` that file is not read.
    ///
    /// # Errors
    /// If the directory or its `pods` does not exist.
    pub fn open(directory: &Path, driver: Option<String>) -> sys::Result<Self> {
        let resolved = directory.canonicalize().context("realpath", || directory.display().to_string())?;
        let pods = open_beneath(&resolved.join("pods"), "".as_ref())?;
        Ok(Self { directory: directory.to_owned(), resolved, pods, driver })
    }

    /// Parses a canonical path as a target.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the kubelet puts no volumes there.
    pub fn target(&self, path: &Path) -> Result<Target> {
        let (shown, directory) = (path.display(), self.directory.display());
        let invalid = |what: &str| Err(Error::InvalidArgument(format!("target_path: {shown} {what}")));
        let Some(relative) = [&self.directory, &self.resolved].into_iter().find_map(|root| beneath(root, path)) else {
            return invalid(&format!(
                "is not beneath the kubelet's directory {directory}: is --kubelet-dir of the pinner (kubeletDir of the chart) right?"
            ));
        };
        self.below(relative).map_or_else(
            || invalid(&format!("is not {directory}/pods/<pod>/volumes/kubernetes.io~csi/<volume>/mount")),
            Ok,
        )
    }

    /// Parses a mount point of the mount table as a target; `None` if the kubelet puts no volumes there.
    #[must_use]
    pub fn target_in_table(&self, mounted: &Path) -> Option<Target> {
        self.below(beneath(&self.resolved, mounted)?)
    }

    fn below(&self, relative: &Path) -> Option<Target> {
        let elements: Option<Vec<_>> = relative
            .components()
            .map(|part| if let Component::Normal(name) = part { name.to_str() } else { None })
            .collect();
        let ["pods", _, "volumes", "kubernetes.io~csi", _, "mount"] = elements?[..] else { return None };
        let volume = relative.strip_prefix("pods").ok()?.parent()?.to_owned();
        Some(Target { path: self.directory.join(relative), volume })
    }

    /// As the kubelet spells it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Opens the volume's directory without following symbolic links and without entering a mount below `pods`; `None`
    /// if it does not exist.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a symbolic link, file or mount on the way.
    pub fn place(&self, target: &Target) -> Result<Option<Place>> {
        let shown = target.path.display();
        match open_within(self.pods.as_fd(), &target.volume, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(parent) => Ok(Some(Place { parent, path: target.path.clone() })),
            Err(error) if error.errno == Errno::NOENT => Ok(None),
            Err(error) if matches!(error.errno, Errno::LOOP | Errno::NOTDIR) => {
                Err(Error::InvalidArgument(format!("target_path: {shown} goes through a symbolic link or a file")))
            }
            Err(error) if error.errno == Errno::XDEV => Err(Error::InvalidArgument(format!(
                "target_path: {shown} lies inside something that is mounted below the directory of all pods"
            ))),
            Err(error) => Err(error.into()),
        }
    }
}

impl Target {
    /// The path as the kubelet spells it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the volume's directory. For an inline volume it is the volume's name in the pod's spec.
    #[must_use]
    pub fn volume(&self) -> Option<&str> {
        self.volume.file_name()?.to_str()
    }
}
