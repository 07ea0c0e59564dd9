//! `bpffs-delegate`: the helper of a pod that has a delegation. It runs as the first init container, without any
//! capability: sends the pod's user namespace to the pinner, through the socket of the volume, and ends when the bpffs
//! is mounted there.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bpffs_pinner::delegation::{CALL, DONE, SOCKET, channel};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// How long nobody may answer at the socket. A pinner that starts again makes a new socket, which only a restarted
/// container sees.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the driver may take to mount the bpffs.
const ANSWER: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let volumes: Vec<_> = std::env::args_os().skip(1).collect();
    if volumes.is_empty() || volumes.iter().any(|volume| volume.as_encoded_bytes().starts_with(b"-")) {
        say("usage: bpffs-delegate VOLUME...: where the pod has its delegations mounted");
        return ExitCode::from(64);
    }
    for volume in volumes.iter().map(Path::new) {
        if let Err(problem) = delegate(volume) {
            say(&format!("{}: {problem}", volume.display()));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// A failed write is ignored: stderr may be closed.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "bpffs-delegate: {text}");
}

fn delegate(volume: &Path) -> Result<(), String> {
    // The socket's path is then short enough for any volume.
    std::env::set_current_dir(volume).map_err(|error| format!("cannot be entered: {error}"))?;
    let socket = connect()?;
    let namespace = File::open("/proc/self/ns/user").map_err(|error| format!("/proc/self/ns/user: {error}"))?;
    let sent = channel::send(socket.as_fd(), b"n", &[namespace.as_fd()]);
    // A connection that is refused at once may have been answered already.
    match channel::receive(socket.as_fd()) {
        Ok(Some(answer)) if answer.bytes == DONE => Ok(()),
        Ok(Some(answer)) => Err(String::from_utf8_lossy(&answer.bytes).into_owned()),
        Ok(None) => Err(sent.map_or_else(|errno| errno.to_string(), |()| "the driver did not answer".to_owned())),
        Err(errno) => Err(format!("the driver did not answer: {errno}")),
    }
}

fn connect() -> Result<OwnedFd, String> {
    let path = Path::new(SOCKET.to_str().unwrap_or_default()).join(CALL.to_str().unwrap_or_default());
    let address = SocketAddrUnix::new(&path).map_err(|errno| errno.to_string())?;
    let start = Instant::now();
    loop {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| errno.to_string())?;
        for which in [Timeout::Send, Timeout::Recv] {
            set_socket_timeout(&socket, which, Some(ANSWER)).map_err(|errno| errno.to_string())?;
        }
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::CONNREFUSED | Errno::NOENT | Errno::AGAIN | Errno::INTR) if start.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            Err(Errno::CONNREFUSED) => {
                return Err(
                    "nobody answers there; the driver may have been restarted, and serves a new socket, which \
                            this container finds when it is restarted"
                        .to_owned(),
                );
            }
            Err(Errno::NOENT) => {
                return Err(format!("has no {}: it is no delegation, or its grant is withdrawn", path.display()));
            }
            Err(errno) => return Err(format!("{}: {errno}", path.display())),
        }
    }
}
