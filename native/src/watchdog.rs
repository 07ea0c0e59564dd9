//! Ends the process when a call hangs in the kernel: a thread that waits there for ever cannot be taken back, and there are
//! few. Whoever started the pinner starts it anew; the volumes stay.

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
/// How many times the watchdog looks before it gives a call up. Its own time counts, and not the clock's, which goes on while
/// the process is stopped.
const LOOKS: u32 = 12;

/// The calls that threads work on, and for how many looks they have.
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
    /// When the thread cannot be made.
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

    /// A call that was there at all of the last looks.
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

/// A thread that the kernel cannot wake keeps the process and all that is open, until it can. So who is connected is told
/// first, and nobody can connect any more.
fn end() -> ! {
    for number in 3..i32::try_from(DESCRIPTORS).unwrap_or(i32::MAX) {
        // SAFETY: if it is open it stays so through the calls: nothing but sockets is changed, and nothing closed.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        // Those that came in by the socket of the pinner have its name, and so has it; what others gave it stays as it is.
        let name = getsockname(descriptor).and_then(SocketAddrUnix::try_from);
        if name.is_ok_and(|name| name.path().is_some()) {
            let _ = shutdown(descriptor, Shutdown::Both);
        }
    }
    process::exit(EXIT_HUNG)
}
