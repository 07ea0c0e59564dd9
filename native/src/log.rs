//! The log: JSON lines on stderr, written by its own thread, so that a reader that stalls does not stall calls. Lines
//! that do not fit the queue or cannot be written are dropped and counted; the next line that is written is followed by
//! one that gives the count.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::iter;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::limits::LOG_LINES;

/// How long a slow reader is waited for when the process ends.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long the first line waits for more: waking the thread for each costs about as much as writing it.
const MOMENT: Duration = Duration::from_millis(5);
/// Pause before the next try, when stderr is non-blocking and full, or the queue is full at the end.
const RETRY: Duration = Duration::from_millis(10);

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines dropped since the start.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The sender to the thread that writes.
#[derive(Clone, Debug)]
pub struct Log(SyncSender<Message>);

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

/// Starts this process's log, for events of `level` and above.
///
/// # Errors
/// If the thread cannot be started or stderr cannot be duplicated.
pub fn start(level: tracing::Level) -> io::Result<Log> {
    // Not std's stderr: a write that hangs would hold its lock.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (log, lines) = channel();
    thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&lines, stderr, told))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_max_level(level)
        // It would report errors on stderr, and panic if that fails.
        .log_internal_errors(false)
        .with_writer(log.clone())
        .init();
    Ok(log)
}

fn channel() -> (Log, Receiver<Message>) {
    let (to, lines) = sync_channel(LOG_LINES);
    (Log(to), lines)
}

fn told(dropped: u64) {
    tracing::warn!(dropped, "lines of this log were dropped, so many since the start");
}

fn write_all(messages: &Receiver<Message>, mut to: impl Write, tell: impl Fn(u64)) {
    let mut known = 0;
    while let Ok(first) = messages.recv() {
        thread::sleep(MOMENT);
        for message in iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Flush(done) => drop(done.try_send(())),
                Message::Line(line) if write_line(&mut to, &line).is_err() => {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
                Message::Line(_) => {
                    if dropped() > known {
                        known = dropped();
                        tell(known);
                    }
                }
            }
        }
    }
}

fn write_line(to: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match to.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => line = &line[length..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Log {
    /// Waits, for a bounded time, until everything logged so far is written.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        let end = Instant::now() + LAST_LINES;
        while let Err(TrySendError::Full(unsent)) = self.0.try_send(message) {
            if Instant::now() > end {
                return;
            }
            message = unsent;
            thread::sleep(RETRY);
        }
        let _ = written.recv_timeout(LAST_LINES);
    }
}

/// Takes whole lines; never fails.
impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Message::Line(line.to_vec())).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Log;

    fn make_writer(&'a self) -> &'a Log {
        self
    }
}
