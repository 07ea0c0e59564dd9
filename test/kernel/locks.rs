//! What the pinner has denied itself: each thing is tried.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use bpffs_pinner::limits::{DATA, DESCRIPTORS};
use bpffs_pinner::sys::bpf::{COMMANDS, PROG_LOAD};
use bpffs_pinner::{lock, privileges};
use landlock::RulesetStatus;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, test_kill_process};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, capabilities, capabilities_secure_bits, set_capabilities_secure_bits,
};

use crate::support::node::Node;
use crate::support::skipped;
use crate::support::user::User;

/// Environment variable that names the system call to try, once these are restricted. All arguments are harmless.
const TRIED: &str = "TRIED";
const KILLED: &[(&str, libc::c_long)] = &[
    ("execve", libc::SYS_execve),
    ("execveat", libc::SYS_execveat),
    ("socket", libc::SYS_socket),
    ("connect", libc::SYS_connect),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("kill", libc::SYS_kill),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("setresuid", libc::SYS_setresuid),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("init_module", libc::SYS_init_module),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("io_uring_setup", libc::SYS_io_uring_setup),
];
const REFUSED: &[(&str, libc::c_long)] = &[
    ("sethostname", libc::SYS_sethostname),
    ("settimeofday", libc::SYS_settimeofday),
    ("symlinkat", libc::SYS_symlinkat),
    ("renameat2", libc::SYS_renameat2),
    ("setxattr", libc::SYS_setxattr),
    ("sched_setscheduler", libc::SYS_sched_setscheduler),
    ("setpriority", libc::SYS_setpriority),
    ("mlockall", libc::SYS_mlockall),
    ("getppid", libc::SYS_getppid),
];

/// For the delegator; all else that is deadly for the pinner, but for what the delegator calls, is for it too.
const DELEGATOR_KILLED: &[&str] = &["execve", "connect", "ptrace", "kill", "init_module"];
/// With its first argument.
const DELEGATOR_REFUSED: &[(&str, libc::c_long, libc::c_long)] = &[
    ("bpf", libc::SYS_bpf, 0),
    ("openat", libc::SYS_openat, 0),
    ("mount", libc::SYS_mount, 0),
    ("fsconfig", libc::SYS_fsconfig, 0),
    ("fsmount", libc::SYS_fsmount, 0),
    ("move_mount", libc::SYS_move_mount, 0),
    ("open_tree", libc::SYS_open_tree, 0),
    ("a socket for the network", libc::SYS_socket, libc::AF_INET as libc::c_long),
    ("unshare of the network", libc::SYS_unshare, libc::CLONE_NEWNET as libc::c_long),
    ("setns to any namespace", libc::SYS_setns, 0),
    ("another ioctl", libc::SYS_ioctl, 0),
];

/// Runs only in a process that another test starts.
#[test]
#[ignore = "ends this process, or is refused everything in it"]
fn tries_what_is_locked() {
    let Ok(tried) = std::env::var(TRIED) else { return };
    if let Some(tried) = tried.strip_prefix("delegator ") {
        lock::delegator_calls().unwrap();
        if let Some((_, number, first)) = DELEGATOR_REFUSED.iter().find(|(name, ..)| *name == tried) {
            assert_eq!(system_call(*number, *first), Err(Errno::PERM), "{tried}");
            return;
        }
        let (_, number) = KILLED.iter().find(|(name, _)| *name == tried).unwrap();
        let outcome = system_call(*number, 0);
        panic!("{tried}: {outcome:?}, and lives");
    }
    lock::calls().unwrap();
    if let Some(command) = tried.strip_prefix("bpf ") {
        let outcome = system_call(libc::SYS_bpf, command.parse().unwrap());
        assert_eq!(outcome, Err(Errno::PERM), "{tried}");
        return;
    }
    if tried == "prctl" {
        assert_eq!(system_call(libc::SYS_prctl, libc::PR_SET_DUMPABLE.into()), Err(Errno::PERM));
        return;
    }
    if let Some((_, number)) = KILLED.iter().find(|(name, _)| *name == tried) {
        let outcome = system_call(*number, 0);
        panic!("{tried}: {outcome:?}, and lives");
    }
    let (_, number) = REFUSED.iter().find(|(name, _)| *name == tried).unwrap();
    assert_eq!(system_call(*number, 0), Err(Errno::PERM), "{tried}");
}

fn system_call(number: libc::c_long, first: libc::c_long) -> Result<libc::c_long, Errno> {
    // SAFETY: none of these calls accepts null as a pointer to write to.
    let result = unsafe { libc::syscall(number, first, 0, 0, 0, 0, 0) };
    if result == -1 { Err(Errno::from_io_error(&Error::last_os_error()).unwrap()) } else { Ok(result) }
}

fn trying(tried: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "locks::tries_what_is_locked", "--ignored", "--quiet"]).env(TRIED, tried);
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn what_only_somebody_elses_code_would_call_ends_the_process() {
    let mut tried: Vec<_> = KILLED.iter().map(|(name, _)| (*name).to_owned()).collect();
    tried.push(format!("bpf {PROG_LOAD}"));
    let children: BTreeMap<_, _> = tried.into_iter().map(|name| (name.clone(), trying(&name))).collect();
    for (name, mut child) in children {
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::SYS.as_raw()), "{name}: {status}");
    }
}

#[test]
fn what_serving_does_not_take_is_refused() {
    let mut tried: Vec<_> = REFUSED.iter().map(|(name, _)| (*name).to_owned()).collect();
    tried.push("prctl".to_owned());
    tried.extend(
        (0..40).filter(|command| *command != PROG_LOAD && !COMMANDS.contains(command)).map(|n| format!("bpf {n}")),
    );
    for some in tried.chunks(8) {
        let children: Vec<_> = some.iter().map(|name| (name, trying(name))).collect();
        for (name, mut child) in children {
            assert!(child.wait().unwrap().success(), "{name}");
        }
    }
}

#[test]
fn the_delegator_calls_only_what_it_needs() {
    let start = |name: &&str| (name.to_string(), trying(&format!("delegator {name}")));
    for (name, mut child) in DELEGATOR_KILLED.iter().map(start).collect::<Vec<_>>() {
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::SYS.as_raw()), "{name}: {status}");
    }
    for (name, mut child) in DELEGATOR_REFUSED.iter().map(|(name, ..)| start(name)).collect::<Vec<_>>() {
        assert!(child.wait().unwrap().success(), "{name}");
    }
}

/// All threads of the running pinner, also those started later.
#[test]
fn the_pinner_that_runs_is_locked() {
    let node = Node::start();
    node.list();
    let process = format!("/proc/{}", node.pid().as_raw_nonzero());
    for task in fs::read_dir(format!("{process}/task")).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        let thread = value("Name").unwrap();
        assert_eq!((value("Seccomp"), value("NoNewPrivs")), (Some("2"), Some("1")), "{thread}");
        // Since Linux 5.9. This process may have filters of its own already.
        let own = fs::read_to_string("/proc/thread-self/status").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("Seccomp_filters:\t")?.parse::<u32>().ok());
        let filters = value("Seccomp_filters").map(|filters| filters.parse::<u32>().unwrap());
        assert_eq!(filters, own.map(|own| own + 2), "{thread}");
    }
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    for (name, most) in [("Max open files", DESCRIPTORS), ("Max data size", DATA), ("Max core file size", 0)] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let values: Vec<_> = line.split_whitespace().take(2).map(|value| value.parse::<u64>().unwrap()).collect();
        assert!(values.iter().all(|value| *value <= most), "{name}: {values:?}");
    }
}

#[test]
fn nobody_looks_into_the_pinner_without_being_able_to_trace_all() {
    let node = Node::start();
    let memory = format!("/proc/{}/mem", node.pid().as_raw_nonzero());
    fs::File::open(&memory).unwrap();
    let same = privileges::KEPT | CapabilitySet::DAC_READ_SEARCH;
    let opened = User::root_with(same).run(|| fs::File::open(&memory).map(drop).map_err(|error| error.kind()));
    assert_eq!(opened, Err(ErrorKind::PermissionDenied));
}

#[test]
fn root_is_nobody_and_stays_it() {
    User::root_with(capabilities(None).unwrap().permitted).run(|| {
        privileges::keep_only(privileges::KEPT).unwrap();
        let bits = capabilities_secure_bits().unwrap();
        for locked in [
            CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_ROOT_LOCKED,
            CapabilitiesSecureBits::NO_SETUID_FIXUP | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED,
            CapabilitiesSecureBits::KEEP_CAPS_LOCKED,
            CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
        ] {
            assert!(bits.contains(locked), "{bits:?}");
        }
        assert!(!bits.contains(CapabilitiesSecureBits::KEEP_CAPS));
        assert_eq!(set_capabilities_secure_bits(CapabilitiesSecureBits::empty()), Err(Errno::PERM));
        privileges::keep_only(privileges::KEPT).expect("again, as by a pinner that another one started");
    });
}

#[test]
fn nothing_is_reached_beyond_the_sockets_that_are_there() {
    let abstract_name = SocketAddr::from_abstract_name(crate::support::unique("lock")).unwrap();
    let _outside = UnixListener::bind_addr(&abstract_name).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let locked = std::thread::spawn(move || {
        let status = lock::reach().unwrap();
        let raw = |error: Error| Errno::from_io_error(&error).unwrap();
        let tcp = (
            TcpListener::bind("127.0.0.1:0").map(drop).map_err(raw),
            TcpStream::connect(address).map(drop).map_err(raw),
        );
        let unix = UnixStream::connect_addr(&abstract_name).map(drop).map_err(raw);
        let signal = test_kill_process(Pid::INIT);
        (status, tcp, unix, signal)
    });
    let (status, tcp, unix, signal) = locked.join().unwrap();
    if status == RulesetStatus::NotEnforced {
        return skipped("Landlock", "this kernel has no rules for the network");
    }
    assert_eq!(tcp, (Err(Errno::ACCESS), Err(Errno::ACCESS)));
    if status == RulesetStatus::PartiallyEnforced {
        return skipped("Landlock's scopes", "this kernel has none");
    }
    assert_eq!((unix, signal), (Err(Errno::PERM), Err(Errno::PERM)));
}
