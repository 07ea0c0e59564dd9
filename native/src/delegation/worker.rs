//! One connection of a helper, in a process of its own.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::mount::FsOpenFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::thread::{
    Gid, LinkNameSpaceType, Uid, UnshareFlags, move_into_link_name_space, set_thread_res_gid, set_thread_res_uid,
    unshare_unsafe,
};

use super::channel::{self, Message};
use crate::sys::{Context, Error, Result, last_errno};

/// How long a helper may take to send its message.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the pinner may take to mount.
const MOUNTING: Duration = Duration::from_secs(10);
/// How long the next connection of the volume waits: a pod that calls all the time costs little.
const PAUSE: Duration = Duration::from_millis(200);
/// After this the delegator ends a worker that still runs.
pub const LIFETIME: Duration = Duration::from_secs(15);

/// `linux/nsfs.h`.
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;

/// The `ioctl(2)` requests that a worker makes.
pub const REQUESTS: [u32; 2] = [NS_GET_PARENT, NS_GET_NSTYPE];

/// A namespace: its inode, on the one filesystem of all namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace(u64, u64);

impl Namespace {
    /// The namespace that a descriptor stands for.
    ///
    /// # Errors
    /// If `fstat(2)` fails.
    pub fn of(descriptor: BorrowedFd<'_>) -> Result<Self> {
        let stat = fstat(descriptor).context("fstat", || "a namespace".to_owned())?;
        Ok(Self(stat.st_dev, stat.st_ino))
    }
}

/// Serves a helper's connection: receives its user namespace, opens a bpffs there, has the pinner mount it, and tells
/// the helper how that went. `own` is the node's user namespace.
pub fn serve(helper: OwnedFd, events: BorrowedFd<'_>, key: u64, own: Namespace) {
    let answer = work(helper.as_fd(), events, key, own).unwrap_or_else(String::into_bytes);
    // A helper that does not read its answer needs none.
    let _ = set_socket_timeout(&helper, Timeout::Send, Some(PATIENCE));
    let _ = channel::send(helper.as_fd(), &answer, &[]);
    drop(helper);
    std::thread::sleep(PAUSE);
}

fn work(
    helper: BorrowedFd<'_>,
    events: BorrowedFd<'_>,
    key: u64,
    own: Namespace,
) -> std::result::Result<Vec<u8>, String> {
    let failed = |error: Error| error.to_string();
    let namespace = receive(helper)?;
    check(namespace.as_fd(), own)?;
    let context = open_in(namespace.as_fd()).map_err(failed)?;
    let (mine, pinners) = channel::pair().context("socketpair", String::new).map_err(failed)?;
    for (socket, which) in [(events, Timeout::Send), (mine.as_fd(), Timeout::Recv)] {
        set_socket_timeout(socket, which, Some(MOUNTING)).context("setsockopt", String::new).map_err(failed)?;
    }
    let descriptors = [context.as_fd(), pinners.as_fd()];
    channel::send(events, &key.to_ne_bytes(), &descriptors).context("sendmsg", String::new).map_err(failed)?;
    drop(pinners);
    match channel::receive(mine.as_fd()) {
        Ok(Some(answer)) => Ok(answer.bytes),
        Ok(None) => Err("the pinner ended meanwhile".to_owned()),
        Err(errno) => Err(format!("the pinner does not answer: {errno}")),
    }
}

/// Receives a message of one byte and one descriptor.
fn receive(helper: BorrowedFd<'_>) -> std::result::Result<OwnedFd, String> {
    set_socket_timeout(helper, Timeout::Recv, Some(PATIENCE)).map_err(|errno| errno.to_string())?;
    let Message { bytes, mut descriptors, cut } = match channel::receive(helper) {
        Ok(Some(message)) => message,
        Ok(None) => return Err("the connection was closed".to_owned()),
        Err(Errno::AGAIN) => return Err(format!("no message came within {PATIENCE:?}")),
        Err(errno) => return Err(errno.to_string()),
    };
    if bytes.len() != 1 || cut || descriptors.len() > 1 {
        return Err("the message must be one byte with one descriptor, and has more".to_owned());
    }
    descriptors.pop().ok_or_else(|| "the message has no descriptor: send that of /proc/self/ns/user".to_owned())
}

/// Checks that a descriptor is a pod's user namespace: a child of the node's.
fn check(descriptor: BorrowedFd<'_>, own: Namespace) -> std::result::Result<(), String> {
    let failed = |error: Error| error.to_string();
    // The descriptor may be of a filesystem that the pod serves, which must not be asked anything. Its name comes from
    // the kernel.
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let name = rustix::fs::readlink(link, Vec::new()).context("readlink", String::new).map_err(failed)?;
    if !name.as_bytes().starts_with(b"user:[") || ask(descriptor, NS_GET_NSTYPE) != Ok(libc::CLONE_NEWUSER) {
        return Err("the descriptor is no user namespace: send that of /proc/self/ns/user".to_owned());
    }
    if Namespace::of(descriptor).map_err(failed)? == own {
        return Err("this is the node's user namespace: the pod needs hostUsers: false".to_owned());
    }
    let parent = ask(descriptor, NS_GET_PARENT).map(|parent| {
        // SAFETY: the kernel has just opened it for this process.
        unsafe { OwnedFd::from_raw_fd(parent) }
    });
    match parent.map(|parent| Namespace::of(parent.as_fd())) {
        Ok(Ok(parent)) if parent == own => Ok(()),
        _ => Err("the user namespace is no child of the node's: send the pod's own".to_owned()),
    }
}

fn ask(namespace: BorrowedFd<'_>, request: u32) -> rustix::io::Result<i32> {
    // SAFETY: these requests take no argument.
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::Ioctl::from(request)) };
    if result < 0 { Err(last_errno()) } else { Ok(result) }
}

/// Enters a user namespace for good, as its root, and opens a context for a bpffs there. The bpffs will belong to that
/// root.
fn open_in(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    let object = || "the pod's user namespace".to_owned();
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::User)).context("setns", object)?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).context("setresgid", object)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).context("setresuid", object)?;
    // To open a context takes a mount namespace that belongs to the user namespace.
    // SAFETY: nothing here shares descriptors.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("unshare", object)?;
    rustix::mount::fsopen(c"bpf", FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen", object)
}
