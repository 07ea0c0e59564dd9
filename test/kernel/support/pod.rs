//! A pod with a user namespace and a delegation: what its processes can do there.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bpffs_pinner::api;
use bpffs_pinner::delegation::{CALL, SOCKET, channel};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, LinkNameSpaceType, Uid, UnshareFlags, move_into_link_name_space,
    set_capabilities, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

use super::map::Attributes;
use super::program;

pub const LRU_HASH: u32 = 9;
pub const QUEUE: u32 = 22;
pub const SCHED_CLS: u32 = 3;
pub const XDP: u32 = 6;
pub const ATTACH_XDP: u32 = 37;
pub const ATTACH_TCX_INGRESS: u32 = 46;

const MAP_CREATE: i32 = 0;
const PROG_LOAD: i32 = 5;
const TOKEN_CREATE: i32 = 36;
const TOKEN_FD: u32 = 1 << 16;

/// The user namespace of a pod, whose root is no user of the node.
pub struct Pod(pub OwnedFd);

impl Pod {
    pub fn start() -> Self {
        let (mut told, tell) = std::io::pipe().unwrap();
        // SAFETY: the child makes only system calls.
        let pid = match unsafe { libc::fork() } {
            0 => {
                // SAFETY: nothing here shares descriptors.
                let entered = unsafe { unshare_unsafe(UnshareFlags::NEWUSER) };
                let _ = rustix::io::write(&tell, &[u8::from(entered.is_ok())]);
                loop {
                    std::thread::park();
                }
            }
            pid => Pid::from_raw(pid).unwrap(),
        };
        drop(tell);
        let mut entered = [0];
        told.read_exact(&mut entered).unwrap();
        assert_eq!(entered, [1], "this kernel lets root make no user namespace");
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{}/{map}", pid.as_raw_nonzero()), "0 100000 65536").unwrap();
        }
        let namespace = fs::File::open(format!("/proc/{}/ns/user", pid.as_raw_nonzero())).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        waitpid(Some(pid), WaitOptions::empty()).unwrap();
        Self(namespace.into())
    }

    fn enter(&self, capabilities: CapabilitySet) -> Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::User))?;
        set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
        set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
        let sets =
            CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: CapabilitySet::empty() };
        set_capabilities(None, sets)
    }

    /// Runs `work` in a process of the pod with these capabilities in its namespace.
    pub fn with(&self, capabilities: CapabilitySet, work: impl FnOnce() -> Result<()>) -> Result<()> {
        // SAFETY: glibc's malloc works in the child, and nothing else there takes a lock.
        let pid = match unsafe { libc::fork() } {
            0 => {
                let outcome = self.enter(capabilities).and_then(|()| work());
                let code = outcome.map_or_else(Errno::raw_os_error, |()| 0);
                // SAFETY: ends the process.
                unsafe { libc::_exit(code) }
            }
            pid => Pid::from_raw(pid).unwrap(),
        };
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        match status.exit_status() {
            Some(0) => Ok(()),
            Some(code) => Err(Errno::from_raw_os_error(code)),
            None => panic!("the pod's process ended with {status:?}"),
        }
    }

    /// Runs `work` as a loader: with `CAP_BPF` and `CAP_NET_ADMIN` in the namespace.
    pub fn loads(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.with(CapabilitySet::BPF | CapabilitySet::NET_ADMIN, work)
    }

    /// Runs the helper in the pod, without capabilities.
    pub fn helper(&self, volume: &Path) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bpffs-delegate"));
        command.arg(volume);
        let namespace = self.0.try_clone().unwrap();
        let enter = move || {
            Pod(namespace.try_clone()?).enter(CapabilitySet::all())?;
            // Uid 0 would have all capabilities again.
            set_thread_res_gid(Gid::from_raw(1000), Gid::from_raw(1000), Gid::from_raw(1000))?;
            set_thread_res_uid(Uid::from_raw(1000), Uid::from_raw(1000), Uid::from_raw(1000))?;
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made.
        unsafe { command.pre_exec(enter) };
        command.output().unwrap()
    }

    /// As the helper, but from this process.
    pub fn call(&self, volume: &Path) -> String {
        call(volume, b"n", &[self.0.as_fd()])
    }
}

pub fn connect(volume: &Path, flags: SocketFlags) -> Result<OwnedFd> {
    let path = volume.join(SOCKET.to_str().unwrap()).join(CALL.to_str().unwrap());
    // A path to a socket has at most 107 bytes.
    let directory = rustix::fs::open(path.parent().unwrap(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let path = bpffs_pinner::sys::path::through_descriptor(directory.as_fd(), CALL);
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_c_str())?)?;
    Ok(socket)
}

/// Sends a message to the socket of a volume; returns the answer.
pub fn call(volume: &Path, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> String {
    let socket = connect(volume, SocketFlags::CLOEXEC).unwrap();
    channel::send(socket.as_fd(), bytes, descriptors).unwrap();
    answer(socket.as_fd())
}

pub fn answer(socket: BorrowedFd<'_>) -> String {
    channel::receive(socket).unwrap().map(|answer| String::from_utf8(answer.bytes).unwrap()).unwrap_or_default()
}

/// The directory that a volume's bpffs is mounted on.
pub fn bpffs(volume: &Path) -> PathBuf {
    volume.join("bpf")
}

/// Makes a BPF token from a volume.
pub fn token(volume: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let bpffs = rustix::fs::open(bpffs(volume), flags, Mode::empty())?;
    Attributes::new().fd(4, bpffs.as_fd()).open(TOKEN_CREATE)
}

/// Creates a map with a token.
pub fn create_map(token: BorrowedFd<'_>, kind: u32) -> Result<OwnedFd> {
    let key_size = if kind == QUEUE { 0 } else { 4 };
    let attributes = Attributes::new().int(0, kind).int(4, key_size).int(8, 8).int(12, 16).int(16, TOKEN_FD);
    attributes.fd(76, token).open(MAP_CREATE)
}

/// Loads a program of two instructions with a token.
pub fn load_program(token: BorrowedFd<'_>, kind: u32, attach: u32) -> Result<OwnedFd> {
    let instructions = program::give(2);
    let attributes = Attributes::new().int(0, kind).int(4, 2).pointer(8, &instructions).pointer(16, c"Apache-2.0");
    attributes.int(44, TOKEN_FD).int(68, attach).fd(144, token).open(PROG_LOAD)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// LRU hashes, and XDP programs.
pub fn delegation() -> api::Delegation {
    api::Delegation {
        commands: names(&["map_create", "prog_load"]),
        map_types: names(&["lru_hash"]),
        program_types: names(&["xdp"]),
        attach_types: names(&["xdp"]),
    }
}

pub fn wanted(volume_id: &str, target: &Path, delegation: api::Delegation) -> api::PublishDelegationRequest {
    let (volume_id, target_path) = (volume_id.to_owned(), target.to_str().unwrap().to_owned());
    let owner = Some(owner());
    api::PublishDelegationRequest {
        volume_id,
        target_path,
        delegation: Some(delegation),
        request: String::new(),
        owner,
    }
}

/// Whose pods have delegations.
pub fn owner() -> api::PodOwner {
    api::PodOwner { namespace: "net".to_owned(), service_account: "loader".to_owned() }
}
