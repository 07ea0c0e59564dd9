//! The kubelet's directory: where it wants volumes, and what it says of each.
//!
//! ```text
//! <directory>/pods/<pod>/volumes/kubernetes.io~csi/<volume>/mount           the target: made and mounted on here
//! <directory>/pods/<pod>/volumes/kubernetes.io~csi/<volume>/vol_data.json   the kubelet's word for it
//! ```
//! There is no other target. So nothing of another kind of volume, and nothing within a volume, is ever made, mounted on or
//! removed, and the volumes of one pod are found side by side.

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
    /// As the kubelet calls it, and so as targets begin.
    directory: PathBuf,
    /// As the mount table calls it, where the kubelet's name for it is a link.
    resolved: PathBuf,
    /// Its `pods`. Whatever is mounted up to here is the administrator's; what is mounted below is a volume.
    pods: OwnedFd,
    /// The driver that the kubelet has to name for a volume to be touched.
    driver: Option<String>,
}

/// Where the kubelet wants a volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    path: PathBuf,
    /// The directory of the volume, from that of all pods.
    volume: PathBuf,
}

/// A target that was looked for.
#[derive(Debug)]
pub struct Place {
    /// The directory of the volume, which has the target, if it is there, as [`MOUNT`].
    pub parent: OwnedFd,
    /// The whole path, for messages.
    pub path: PathBuf,
}

impl Kubelet {
    /// Opens the directory, for as long as this lives. Whatever the kubelet says of a volume is believed only where it names
    /// `driver`; `None`: the kubelet is not asked.
    ///
    /// # Errors
    /// When the directory, or `pods` in it, is not there.
    pub fn open(directory: &Path, driver: Option<String>) -> sys::Result<Self> {
        let resolved = directory.canonicalize().context("realpath", || directory.display().to_string())?;
        let pods = open_beneath(&resolved.join("pods"), "".as_ref())?;
        Ok(Self { directory: directory.to_owned(), resolved, pods, driver })
    }

    /// A canonical path as a target.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the kubelet has no volumes.
    pub fn target(&self, path: &Path) -> Result<Target> {
        let (shown, directory) = (path.display(), self.directory.display());
        let invalid = |what: &str| Err(Error::InvalidArgument(format!("target_path: {shown} {what}")));
        let Some(relative) = [&self.directory, &self.resolved].into_iter().find_map(|root| beneath(root, path)) else {
            return invalid(&format!("is not beneath the kubelet's directory {directory}"));
        };
        self.below(relative).map_or_else(
            || invalid(&format!("is not {directory}/pods/<pod>/volumes/kubernetes.io~csi/<volume>/mount")),
            Ok,
        )
    }

    /// What the mount table says as a target; `None` where the kubelet has no volumes.
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

    /// Opens the directory of a volume, never through a link and never through anything that is mounted below the pods'
    /// directory; `None` when it is not there.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for what is on the way.
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
    /// As the kubelet writes it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
