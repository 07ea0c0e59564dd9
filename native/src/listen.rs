//! The socket: made for one user, never stolen from a living server.

use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rustix::fs::{AtFlags, CWD, Mode, Uid};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::umask;

/// How often the path is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A listening socket that removes its file when it goes.
#[derive(Debug)]
pub struct Socket {
    /// Where it listens.
    pub path: PathBuf,
    inode: u64,
}

/// Why no socket could be had.
#[derive(Debug)]
pub enum Error {
    /// A process answers there.
    InUse(PathBuf),
    /// Something that is no socket is there.
    NoSocket(PathBuf),
    /// The kernel refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "--socket: a process already serves {}; stop it or choose another path", path.display())
            }
            Self::NoSocket(path) => write!(f, "--socket: {} exists and is no socket", path.display()),
            Self::Io(path, error) => write!(f, "--socket: {}: {error}", path.display()),
        }
    }
}

/// Listens at `path`, with the socket owned by `uid` and open to nobody else. What a dead server left there is replaced.
///
/// # Errors
/// See [`Error`]; whatever is there stays.
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

/// Listens last: who can connect at all finds the socket with its owner.
fn bind(path: &Path, uid: u32) -> rustix::io::Result<UnixListener> {
    const BACKLOG: i32 = 128;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = SocketAddrUnix::new(path)?;
    let usual = umask(Mode::from_raw_mode(0o177));
    let bound = rustix::net::bind(&socket, &address);
    umask(usual);
    bound?;
    // The directory may be its user's, who may have put a link there by now.
    rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), None, AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

impl Socket {
    /// Whether who connects to the path gets here; it may have been removed, or be another server's by now.
    #[must_use]
    pub fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }

    /// Waits until it is not there any more.
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
