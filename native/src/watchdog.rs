//! Ends the process when a call hangs in the kernel: its thread cannot be stopped, and there are few threads. The
//! pinner is then restarted; the volumes stay.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::{io, process};

use rustix::net::{Shutdown, SocketAddrUnix, getsockname, shutdown};

use crate::limits::DESCRIPTORS;
use crate::log::Log;

/// `EX_SOFTWARE` of sysexits(3).
pub const EXIT_HUNG: i32 = 70;
/// In how many checks in a row a call may be seen before it counts as hung. Checks are counted, and not time, which
/// goes on while the process is stopped.
const LOOKS: u32 = 12;

/// The running calls, each with the number of checks that have seen it.
#[derive(Clone, Debug, Default)]
pub struct Watchdog(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    running: BTreeMap<u64, (String, u32)>,
}

/// A call that is watched until this is dropped.
#[derive(Debug)]
pub struct Watched {
    watchdog: Watchdog,
    number: u64,
}

impl Watchdog {
    /// Starts the thread that ends the process when a call takes about `limit`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(limit: Duration, log: Log) -> io::Result<Self> {
        let watchdog = Self::default();
        let watched = watchdog.clone();
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            loop {
                thread::sleep(limit / LOOKS);
                if let Some(call) = watched.look() {
                    tracing::error!(
                        method = call,
                        limitSeconds = limit.as_secs(),
                        "a call hangs in the kernel: ending"
                    );
                    log.flush();
                    end();
                }
            }
        })?;
        Ok(watchdog)
    }

    /// Watches a call.
    #[must_use]
    pub fn watch(&self, call: &str) -> Watched {
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        calls.running.insert(number, (call.to_owned(), 0));
        Watched { watchdog: self.clone(), number }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that has been seen in too many checks.
    fn look(&self) -> Option<String> {
        let mut calls = self.calls();
        for (_, looks) in calls.running.values_mut() {
            *looks += 1;
        }
        calls.running.values().find(|(_, looks)| *looks > LOOKS).map(|(call, _)| call.clone())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watchdog.calls().running.remove(&self.number);
    }
}

/// A thread stuck in the kernel keeps the process and its descriptors alive. So the connections and the listening
/// socket are shut down first: clients learn at once, and nobody can connect.
fn end() -> ! {
    for number in 3..i32::try_from(DESCRIPTORS).unwrap_or(i32::MAX) {
        // SAFETY: no descriptor is closed here, so an open one stays open; only sockets are affected.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        // The listening socket and the connections accepted from it have its name; sockets inherited from others have
        // none.
        let name = getsockname(descriptor).and_then(SocketAddrUnix::try_from);
        if name.is_ok_and(|name| name.path().is_some()) {
            let _ = shutdown(descriptor, Shutdown::Both);
        }
    }
    process::exit(EXIT_HUNG)
}
