//! The pinner's ends of the channels to the delegator.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::DONE;
use super::channel::{self, Message};
use super::delegator::Ask;
use crate::error::{Error, Result};
use crate::kubelet::Target;
use crate::sys::{self, Context};

/// The delegator, as the pinner asks it.
#[derive(Debug)]
pub struct Delegator {
    /// Held for one question and its answer.
    control: Mutex<OwnedFd>,
    served: Mutex<Served>,
}

/// The volumes whose sockets the delegator serves.
#[derive(Debug, Default)]
struct Served {
    last: u64,
    keys: HashMap<Target, u64>,
}

/// What workers have opened.
#[derive(Debug)]
pub struct Events(OwnedFd);

/// A bpffs that a worker has opened in a pod's user namespace, not yet created.
#[derive(Debug)]
pub struct Opened {
    /// The volume that was called.
    pub key: u64,
    /// The context of `fsopen(2)`.
    pub context: OwnedFd,
    worker: OwnedFd,
}

impl Delegator {
    /// Starts the delegator: this program again, with the subcommand `delegate`. To be called before threads are started
    /// and privileges dropped.
    ///
    /// # Errors
    /// If it cannot be started, or restrict itself.
    pub fn start() -> Result<(Self, Events)> {
        let object = || "the delegator".to_owned();
        let (control, control_there) = channel::pair().context("socketpair", object)?;
        let (events, events_there) = channel::pair().context("socketpair", object)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("bpffs-pinner")
            .arg("delegate")
            .env_clear()
            .stdin(Stdio::from(control_there))
            .stdout(Stdio::from(events_there));
        // Never waited for: the pinner ends when the delegator does.
        drop(command.spawn().context("execve", object)?);
        drop(command);
        answer(control.as_fd())?;
        Ok((Self { control: Mutex::new(control), served: Mutex::default() }, Events(events)))
    }

    /// Has the delegator listen in a directory for calls of the volume at `target`, and no more on the socket that it had
    /// before.
    ///
    /// # Errors
    /// If that fails; nothing is served then.
    pub fn listen(&self, target: &Target, directory: BorrowedFd<'_>) -> Result<()> {
        self.forget(target)?;
        let key = {
            let mut served = self.served();
            served.last += 1;
            served.last
        };
        self.ask(Ask::Listen, key, &[directory])?;
        self.served().keys.insert(target.clone(), key);
        Ok(())
    }

    /// Closes the socket of the volume at `target`, if there is one.
    ///
    /// # Errors
    /// If the delegator is gone.
    pub fn forget(&self, target: &Target) -> Result<()> {
        let key = self.served().keys.remove(target);
        key.map_or(Ok(()), |key| self.ask(Ask::Forget, key, &[]))
    }

    /// Whether the socket of the volume at `target` is served.
    #[must_use]
    pub fn serves(&self, target: &Target) -> bool {
        self.served().keys.contains_key(target)
    }

    /// Where the volume with this key is; `None` if it is unpublished, or has a new socket.
    #[must_use]
    pub fn target(&self, key: u64) -> Option<Target> {
        self.served().keys.iter().find(|(_, known)| **known == key).map(|(target, _)| target.clone())
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, ask: Ask, key: u64, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let mut message = vec![ask as u8];
        message.extend(key.to_ne_bytes());
        channel::send(control.as_fd(), &message, descriptors).context("sendmsg", || "the delegator".to_owned())?;
        answer(control.as_fd())
    }
}

/// Receives [`DONE`], or a problem.
fn answer(control: BorrowedFd<'_>) -> Result<()> {
    let gone = || sys::Error { call: "recvmsg", errno: Errno::PIPE, object: "the delegator".to_owned() };
    let received = channel::receive(control).context("recvmsg", || "the delegator".to_owned())?;
    let Message { bytes, .. } = received.ok_or_else(gone)?;
    if bytes == DONE {
        return Ok(());
    }
    Err(Error::Unusable(format!("the delegator: {}", String::from_utf8_lossy(&bytes))))
}

impl Events {
    /// Waits for the next; `None` if the delegator is gone.
    #[must_use]
    pub fn next(&self) -> Option<Opened> {
        let mut message = channel::receive(self.0.as_fd()).ok()??;
        let (worker, context) = (message.descriptors.pop()?, message.descriptors.pop()?);
        let key = u64::from_ne_bytes(message.bytes.as_slice().try_into().ok()?);
        Some(Opened { key, context, worker })
    }
}

impl Opened {
    /// Tells the worker, and so the helper, that the bpffs is mounted, or the problem.
    pub fn answer(self, problem: Option<&str>) {
        let text = problem.map_or(DONE, str::as_bytes);
        // The worker may have been ended.
        let _ = channel::send(self.worker.as_fd(), &text[..text.len().min(channel::BYTES_MAX)], &[]);
    }
}
