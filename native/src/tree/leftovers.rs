//! Closing mounts that are of no more use, where nobody waits for it.
//!
//! To close a detached mount is to unmount it, and until every processor knows, that takes the kernel about as long as all the
//! rest of a publish. It takes no longer for many: they are mounted on the first, and go with it. So a volume's maps are
//! held for a moment longer than the volume is there.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::sys::{Context, Result, mount};

/// How many go at once at most, and how many may wait for that.
const MANY: usize = 64;
/// How long the first waits for others. To wake the thread for each would cost the calls that leave them a part of what they save.
const MOMENT: Duration = Duration::from_millis(25);

/// A thread that closes them.
#[derive(Debug)]
pub struct Leftovers(SyncSender<OwnedFd>);

impl Leftovers {
    /// Starts it.
    ///
    /// # Errors
    /// Out of threads.
    pub fn open() -> Result<Self> {
        let (mounts, queue) = sync_channel(MANY);
        let close = move || while close_some(&queue).is_some() {};
        thread::Builder::new().name("leftovers".to_owned()).spawn(close).context("clone", || "thread".to_owned())?;
        Ok(Self(mounts))
    }

    /// Has a detached mount closed; where too many wait, here.
    pub fn close(&self, mount: OwnedFd) {
        let _ = self.0.try_send(mount);
    }
}

/// Closes what came within a moment; `None` when nothing will come any more.
fn close_some(queue: &Receiver<OwnedFd>) -> Option<()> {
    let first = queue.recv().ok()?;
    thread::sleep(MOMENT);
    for another in queue.try_iter().take(MANY) {
        // Before Linux 6.15 a detached tree takes none, and it is closed by itself.
        drop(mount::attach(another.as_fd(), first.as_fd(), c""));
    }
    Some(())
}
