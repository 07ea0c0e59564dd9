//! Closes mounts in the background.
//!
//! To close a detached mount is to unmount it, which waits for an RCU grace period: about as long as the rest of a
//! publish. Many take no longer than one if they are mounted on the first and go with it. So a volume's maps live a
//! moment longer than the volume.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::sys::{Context, Result, mount};

/// How many mounts are closed at once, and how many may wait.
const MANY: usize = 64;
/// How long the first waits for more: waking the thread for each would cost the callers part of what this saves.
const MOMENT: Duration = Duration::from_millis(25);

/// The thread that closes mounts.
#[derive(Debug)]
pub struct Leftovers(SyncSender<OwnedFd>);

impl Leftovers {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn open() -> Result<Self> {
        let (mounts, queue) = sync_channel(MANY);
        let close = move || while close_some(&queue).is_some() {};
        thread::Builder::new().name("leftovers".to_owned()).spawn(close).context("clone", || "thread".to_owned())?;
        Ok(Self(mounts))
    }

    /// Queues a detached mount to be closed; closes it here if the queue is full.
    pub fn close(&self, mount: OwnedFd) {
        let _ = self.0.try_send(mount);
    }
}

/// Closes the mounts that arrive within a moment; `None` if no more will come.
fn close_some(queue: &Receiver<OwnedFd>) -> Option<()> {
    let first = queue.recv().ok()?;
    thread::sleep(MOMENT);
    for another in queue.try_iter().take(MANY) {
        // Before Linux 6.15 this fails, and the mount is closed on its own.
        drop(mount::attach(another.as_fd(), first.as_fd(), c""));
    }
    Some(())
}
