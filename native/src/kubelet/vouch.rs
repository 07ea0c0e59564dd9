//! What the kubelet says of a volume: `vol_data.json`, which it writes before it publishes and removes after it
//! unpublishes.
//!
//! `saveVolumeData` in <https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/csi/csi_util.go>. The kubelet
//! reads the file for each unpublish, so it exists as long as the volume.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use serde_json::Value;

use super::{Kubelet, Place};
use crate::error::{Error, Result};
use crate::sys::Context;
use crate::sys::path::open_within;

const FILE: &str = "vol_data.json";
/// The kubelet writes a few hundred bytes.
const BYTES_MAX: u64 = 1 << 16;

/// How long a volume lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// As long as its pod: an inline volume.
    Ephemeral,
    /// As long as its persistent volume.
    Persistent,
}

impl Kubelet {
    /// Checks that the kubelet has this volume at this place; `None` if `vol_data.json` is not to be read.
    ///
    /// # Errors
    /// [`Error::NotOurs`] if there is no such file, or it names another driver or volume; [`Error::NotYet`] while the
    /// kubelet writes it.
    pub fn vouched(&self, place: &Place, volume_id: &str) -> Result<Option<Lifecycle>> {
        let Some(driver) = &self.driver else { return Ok(None) };
        let file = place.path.with_file_name(FILE);
        let refuse = |what: &str| Err(Error::NotOurs(format!("{} {what}", file.display())));
        let Some(bytes) = read(place)? else {
            return refuse("is no file of the kubelet's: it has asked for no volume there");
        };
        let Ok(Value::Object(data)) = serde_json::from_slice(&bytes) else {
            return Err(Error::NotYet(format!("{} is not complete: the kubelet is writing it", file.display())));
        };
        let field = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        for (name, wanted) in [("driverName", driver.as_str()), ("volumeHandle", volume_id)] {
            if field(name) != wanted {
                return refuse(&format!(
                    "has {name} {:?}, not {wanted:?}: the kubelet has another volume there",
                    field(name)
                ));
            }
        }
        match field("volumeLifecycleMode") {
            "Ephemeral" => Ok(Some(Lifecycle::Ephemeral)),
            "Persistent" => Ok(Some(Lifecycle::Persistent)),
            other => refuse(&format!("has volumeLifecycleMode {other:?}, neither \"Ephemeral\" nor \"Persistent\"")),
        }
    }
}

/// The file's contents; `None` unless it is a regular file of root's.
fn read(place: &Place) -> Result<Option<Vec<u8>>> {
    let path = || place.path.with_file_name(FILE).display().to_string();
    // Non-blocking, in case it is a FIFO.
    let file = match open_within(place.parent.as_fd(), FILE.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK) {
        Err(error) if matches!(error.errno, Errno::NOENT | Errno::LOOP | Errno::XDEV | Errno::NXIO) => return Ok(None),
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&file).context("fstat", path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_uid != 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::from(file).take(BYTES_MAX).read_to_end(&mut bytes).context("read", path)?;
    Ok(Some(bytes))
}
