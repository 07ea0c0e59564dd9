//! The listening socket: owned by one user, never taken from a running server.

use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rustix::fs::{AtFlags, CWD, Mode, Uid};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::umask;

/// How often the path is checked.
const LOOK: Duration = Duration::from_secs(1);

/// A listening socket's file, removed on drop.
#[derive(Debug)]
pub struct Socket {
    /// The socket's path.
    pub path: PathBuf,
    inode: u64,
}

/// Why listening failed.
#[derive(Debug)]
pub enum Error {
    /// Another process serves this socket.
    InUse(PathBuf),
    /// The file there is not a socket.
    NoSocket(PathBuf),
    /// A system call failed.
    Io(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "--socket: a process already serves {}; stop it or choose another path", path.display())
            }
            Self::NoSocket(path) => {
                write!(f, "--socket: {} exists and is no socket; remove it or choose another path", path.display())
            }
            Self::Io(path, error) => write!(f, "--socket: {}: {error}", path.display()),
        }
    }
}

/// Listens at `path` on a socket that only `uid` and root can use. Replaces the socket of a dead server.
///
/// # Errors
/// See [`Error`]; what is at `path` then stays.
pub fn listen(path: &Path, uid: u32) -> Result<(Socket, UnixListener), Error> {
    let io = |error| Error::Io(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(Error::NoSocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(io)?,
            Err(error) => return Err(io(error)),
            Ok(_) => return Err(Error::InUse(path.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    let listener = bind(path, uid).map_err(|errno| io(errno.into()))?;
    let inode = fs::symlink_metadata(path).map_err(io)?.ino();
    Ok((Socket { path: path.to_owned(), inode }, listener))
}

/// Sets the owner before listening, so that whoever can connect finds the right one.
fn bind(path: &Path, uid: u32) -> rustix::io::Result<UnixListener> {
    const BACKLOG: i32 = 128;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = SocketAddrUnix::new(path)?;
    let usual = umask(Mode::from_raw_mode(0o177));
    let bound = rustix::net::bind(&socket, &address);
    umask(usual);
    bound?;
    // The directory may belong to an unprivileged user, who may have put a symbolic link there meanwhile.
    rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), None, AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

impl Socket {
    /// Whether the path still leads to this socket, neither removed nor replaced.
    #[must_use]
    pub fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }

    /// Waits until the path no longer leads to this socket.
    pub async fn gone(&self) {
        let mut looks = tokio::time::interval(LOOK);
        while self.is_there() {
            looks.tick().await;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
