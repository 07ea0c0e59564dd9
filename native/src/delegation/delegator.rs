//! The delegator: a process that listens on the sockets of all delegations, and forks a worker for each connection.
//!
//! It serves one connection of a volume at a time, and [`WORKERS`] at once, the volume first that has waited longest. A
//! worker that cannot end, because closing what the pod sent hangs in the kernel, keeps only its own volume from the next
//! connection.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
    umask, waitid,
};
use rustix::thread::CapabilitySet;

use super::worker::{self, Namespace};
use super::{CALL, DONE, channel};
use crate::sys::path::{ensure_entry, open_beneath, through_descriptor};
use crate::sys::{Context, Result, mount};
use crate::tree::private_namespace::enter_private_namespace;
use crate::{lock, privileges};

/// How many connections are served at once. The others wait at their sockets.
pub const WORKERS: usize = 16;
/// How many connections of a volume wait.
const BACKLOG: i32 = 8;
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// What the pinner asks of the delegator: a byte, and the key of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To listen on a socket in the directory that comes with the message.
    Listen = 1,
    /// To close a volume's socket.
    Forget = 2,
}

/// A volume. Its socket is closed when it is forgotten; it goes when its last worker has.
struct Volume {
    key: u64,
    socket: Option<OwnedFd>,
    worker: Option<Worker>,
    /// When its last worker started.
    served: Option<Instant>,
}

struct Worker {
    process: OwnedFd,
    end: Instant,
    /// It was ended, and may hang. It does not count any more: a pod must not take workers from the others for good.
    is_overdue: bool,
}

/// Serves until the pinner is gone, which has its other ends: of standard input, for what it asks; and of standard
/// output, for what workers tell it.
#[must_use]
pub fn run() -> ExitCode {
    let (control, events) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let own = match prepare() {
        Ok(own) => own,
        Err(error) => {
            let _ = channel::send(control, error.to_string().as_bytes(), &[]);
            return ExitCode::FAILURE;
        }
    };
    if channel::send(control, DONE, &[]).is_err() {
        return ExitCode::FAILURE;
    }
    let mut volumes = Vec::new();
    while turn(control, events, own, &mut volumes).is_some() {}
    ExitCode::SUCCESS
}

/// Drops what this process does not need; returns the node's user namespace.
fn prepare() -> Result<Namespace> {
    let path = c"/proc/self/ns/user";
    let own = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let own = Namespace::of(own.context("open", || "/proc/self/ns/user".to_owned())?.as_fd())?;
    leave_the_node()?;
    rustix::thread::set_name(c"bpffs-delegator").context("prctl(PR_SET_NAME)", String::new)?;
    privileges::keep_only(CapabilitySet::SYS_ADMIN)?;
    lock::reach().map_err(|_| Errno::INVAL).context("landlock_restrict_self", String::new)?;
    lock::size()?;
    set_parent_process_death_signal(Some(Signal::KILL)).context("prctl(PR_SET_PDEATHSIG)", String::new)?;
    // A signal to the whole process group leaves the pinner to finish its calls. This process ends after it.
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: no handler is set.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // Everyone in the pod may connect.
    umask(Mode::from_raw_mode(0o111));
    lock::delegator_calls().map_err(|_| Errno::INVAL).context("seccomp", String::new)?;
    Ok(own)
}

/// Moves this process to a mount namespace that has nothing but `/proc`. Workers copy it, which is then cheap and keeps no
/// mount of the node busy.
fn leave_the_node() -> Result<()> {
    const PROC: &CStr = c"proc";
    let proc = mount::clone(open_beneath("/proc".as_ref(), "".as_ref())?.as_fd(), c"")?;
    let root = enter_private_namespace()?;
    ensure_entry(root.as_fd(), PROC)?;
    mount::attach(proc.as_fd(), root.as_fd(), PROC)
}

/// Waits for something to happen, and does what follows; `None` if the pinner is gone.
fn turn(control: BorrowedFd<'_>, events: BorrowedFd<'_>, own: Namespace, volumes: &mut Vec<Volume>) -> Option<()> {
    volumes.sort_by_key(|volume| volume.served);
    let working = volumes.iter().filter(|volume| volume.worker.as_ref().is_some_and(|worker| !worker.is_overdue));
    let mut free = WORKERS.saturating_sub(working.count());
    let connections = if free > 0 { PollFlags::IN } else { PollFlags::empty() };
    let mut polled = vec![PollFd::from_borrowed_fd(control, PollFlags::IN)];
    polled.extend(volumes.iter().filter_map(|volume| match &volume.worker {
        Some(worker) => Some(PollFd::new(&worker.process, PollFlags::IN)),
        None => Some(PollFd::new(volume.socket.as_ref()?, connections)),
    }));
    let next = volumes.iter().filter_map(|volume| Some(volume.worker.as_ref()?.end)).min();
    let timeout = next.map(|end| end.saturating_duration_since(Instant::now()));
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    if !matches!(poll(&mut polled, timeout.as_ref()), Ok(_) | Err(Errno::INTR)) {
        return None;
    }
    let is_ready: Vec<_> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
    for (volume, is_ready) in volumes.iter_mut().zip(&is_ready[1..]) {
        match &mut volume.worker {
            Some(worker) if *is_ready => {
                let _ = waitid(WaitId::PidFd(worker.process.as_fd()), WaitIdOptions::EXITED);
                volume.worker = None;
            }
            Some(worker) if worker.end <= Instant::now() => {
                let _ = pidfd_send_signal(&worker.process, Signal::KILL);
                worker.end += worker::LIFETIME;
                worker.is_overdue = true;
            }
            None if *is_ready && free > 0 => {
                volume.worker = accept(volume, events, own);
                if volume.worker.is_some() {
                    volume.served = Some(Instant::now());
                    free -= 1;
                }
            }
            Some(_) | None => {}
        }
    }
    volumes.retain(|volume| volume.socket.is_some() || volume.worker.is_some());
    if is_ready[0] { answer(control, volumes) } else { Some(()) }
}

/// Accepts a connection and starts a worker for it; `None` if nobody connects any more, or no process can be started.
fn accept(volume: &Volume, events: BorrowedFd<'_>, own: Namespace) -> Option<Worker> {
    let helper = match rustix::net::accept_with(volume.socket.as_ref()?, SocketFlags::CLOEXEC) {
        Ok(helper) => helper,
        Err(Errno::AGAIN) => return None,
        Err(_) => {
            // Out of descriptors: whoever waits stays, and would be found again at once.
            std::thread::sleep(PAUSE);
            return None;
        }
    };
    // SAFETY: this process has one thread, so the child finds no lock taken.
    match unsafe { libc::fork() } {
        0 => {
            // A worker has no use for the sockets of the other volumes, nor for the channel of the pinner's questions.
            let _ = rustix::stdio::dup2_stdin(&helper);
            // SAFETY: what is closed here is not used any more, nor dropped: this process ends without returning.
            unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
            std::mem::forget(helper);
            // SAFETY: standard input is the connection now, and nothing else owns it.
            let helper = unsafe { rustix::stdio::take_stdin() };
            worker::serve(helper, events, volume.key, own);
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) }
        }
        child => {
            let process = pidfd_open(Pid::from_raw(child).filter(|_| child > 0)?, PidfdFlags::empty()).ok()?;
            Some(Worker { process, end: Instant::now() + worker::LIFETIME, is_overdue: false })
        }
    }
}

/// Does what the pinner asks, and answers; `None` if it is gone.
fn answer(control: BorrowedFd<'_>, volumes: &mut Vec<Volume>) -> Option<()> {
    let message = channel::receive(control).ok()??;
    let (&ask, key) = message.bytes.split_first()?;
    let key = u64::from_ne_bytes(key.try_into().ok()?);
    let done = match (ask, message.descriptors.first()) {
        (ask, Some(directory)) if ask == Ask::Listen as u8 => {
            let new = |socket| Volume { key, socket: Some(socket), worker: None, served: None };
            listen(directory.as_fd()).map(|socket| volumes.push(new(socket)))
        }
        (ask, None) if ask == Ask::Forget as u8 => {
            for volume in volumes.iter_mut().filter(|volume| volume.key == key) {
                volume.socket = None;
                if let Some(worker) = &volume.worker {
                    let _ = pidfd_send_signal(&worker.process, Signal::KILL);
                }
            }
            volumes.retain(|volume| volume.socket.is_some() || volume.worker.is_some());
            Ok(())
        }
        _ => return None,
    };
    let answer = done.map_or_else(|error| error.to_string().into_bytes(), |()| DONE.to_vec());
    channel::send(control, &answer, &[]).ok()
}

/// A new socket in a directory.
fn listen(directory: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let object = || CALL.to_string_lossy().into_owned();
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let socket = socket.context("socket", object)?;
    let path: CString = through_descriptor(directory, CALL);
    let address = SocketAddrUnix::new(path.as_c_str()).context("bind", object)?;
    rustix::net::bind(&socket, &address).context("bind", object)?;
    rustix::net::listen(&socket, BACKLOG).context("listen", object)?;
    Ok(socket)
}
