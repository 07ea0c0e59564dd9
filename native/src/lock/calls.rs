//! The system calls that serving needs.
//!
//! Two seccomp filters, of which the kernel applies the stricter result. A call that only foreign code would make kills
//! the process, and the kernel logs it. Any other call that is not listed fails with `EPERM`: if a library begins to
//! make one, a single request fails, and not the whole process.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

use crate::delegation::REQUESTS;
use crate::sys::bpf::{self, COMMANDS};

/// Not in libc yet; the same number on every architecture.
const STATMOUNT: c_long = 457;
const LISTMOUNT: c_long = 458;

/// Allowed with any arguments.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Mounts.
    libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick, libc::SYS_open_tree, libc::SYS_move_mount,
    libc::SYS_mount_setattr, libc::SYS_mount, libc::SYS_umount2, STATMOUNT, LISTMOUNT,
    // Files.
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_close, libc::SYS_dup, libc::SYS_dup3, libc::SYS_fcntl, libc::SYS_read,
    libc::SYS_pread64, libc::SYS_readv, libc::SYS_write, libc::SYS_writev, libc::SYS_lseek, libc::SYS_getdents64,
    libc::SYS_readlinkat, libc::SYS_statx, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statfs, libc::SYS_fstatfs,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_getcwd, libc::SYS_mkdirat, libc::SYS_mknodat, libc::SYS_unlinkat,
    libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_utimensat, libc::SYS_umask,
    // Accepted connections.
    libc::SYS_accept4, libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_getsockopt,
    libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_shutdown, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_ppoll, libc::SYS_eventfd2,
    // Threads, memory, time.
    libc::SYS_clone, libc::SYS_clone3, libc::SYS_set_robust_list, libc::SYS_rseq, libc::SYS_set_tid_address,
    libc::SYS_futex, libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_gettid, libc::SYS_getpid,
    libc::SYS_sigaltstack, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_tgkill,
    libc::SYS_restart_syscall, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap,
    libc::SYS_mprotect, libc::SYS_madvise, libc::SYS_brk, libc::SYS_clock_gettime, libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep, libc::SYS_nanosleep, libc::SYS_gettimeofday, libc::SYS_getcpu, libc::SYS_getrandom,
    libc::SYS_uname, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid, libc::SYS_prlimit64,
    libc::SYS_sysinfo,
];

/// Older forms of some of these, which libraries still call on this architecture.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLDER: &[c_long] = &[
    libc::SYS_open, libc::SYS_readlink, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_mkdir, libc::SYS_rmdir,
    libc::SYS_unlink, libc::SYS_chmod, libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// What only foreign code would call: for other programs, processes, sockets, namespaces or privileges, or to change
/// the kernel.
#[rustfmt::skip]
const DEADLY: &[c_long] = &[
    libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd, libc::SYS_kill, libc::SYS_socket, libc::SYS_socketpair, libc::SYS_connect, libc::SYS_bind,
    libc::SYS_listen, libc::SYS_unshare, libc::SYS_setns, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_capset,
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_setgroups,
    libc::SYS_open_by_handle_at, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module,
    libc::SYS_kexec_load, libc::SYS_kexec_file_load, libc::SYS_reboot, libc::SYS_perf_event_open, libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup, libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl, libc::SYS_memfd_create,
];

/// What the delegator and its workers call, with any arguments.
#[rustfmt::skip]
const DELEGATOR: &[c_long] = &[
    // Connections.
    libc::SYS_bind, libc::SYS_listen, libc::SYS_accept4, libc::SYS_socketpair, libc::SYS_setsockopt, libc::SYS_sendmsg,
    libc::SYS_recvmsg, libc::SYS_ppoll,
    // Workers.
    libc::SYS_clone, libc::SYS_waitid, libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_dup3, libc::SYS_close,
    libc::SYS_close_range, libc::SYS_set_robust_list, libc::SYS_rseq, libc::SYS_gettid, libc::SYS_getpid,
    // In the pod's user namespace.
    libc::SYS_readlinkat, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_setresuid, libc::SYS_setresgid,
    libc::SYS_fsopen,
    // Memory, time, and the end.
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_madvise, libc::SYS_brk,
    libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_nanosleep, libc::SYS_getrandom, libc::SYS_futex,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack,
    libc::SYS_restart_syscall, libc::SYS_write, libc::SYS_exit, libc::SYS_exit_group,
];

#[cfg(target_arch = "x86_64")]
const DELEGATOR_OLDER: &[c_long] = &[libc::SYS_poll, libc::SYS_dup2, libc::SYS_readlink];
#[cfg(not(target_arch = "x86_64"))]
const DELEGATOR_OLDER: &[c_long] = &[];

/// Restricts the delegator and the workers that it will fork. What is deadly for the pinner is for these, too, but for
/// what they call.
///
/// # Errors
/// If the kernel refuses a filter.
pub fn delegator_calls() -> Result<(), Error> {
    let rule = |argument: u8, value: u32| -> Result<SeccompRule, Error> {
        let is = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value.into())?;
        Ok(SeccompRule::new(vec![is])?)
    };
    let mut allowed: BTreeMap<_, _> = DELEGATOR.iter().chain(DELEGATOR_OLDER).map(|&call| (call, Vec::new())).collect();
    allowed.insert(libc::SYS_socket, vec![rule(0, libc::AF_UNIX.cast_unsigned())?]);
    allowed.insert(libc::SYS_setns, vec![rule(1, libc::CLONE_NEWUSER.cast_unsigned())?]);
    allowed.insert(libc::SYS_unshare, vec![rule(0, libc::CLONE_NEWNS.cast_unsigned())?]);
    allowed.insert(libc::SYS_ioctl, REQUESTS.into_iter().map(|request| rule(1, request)).collect::<Result<_, _>>()?);
    let deadly: BTreeMap<_, _> =
        DEADLY.iter().filter(|call| !allowed.contains_key(call)).map(|&call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    for filter in [
        compile(deadly, SeccompAction::Allow, SeccompAction::KillProcess)?,
        compile(allowed, refused, SeccompAction::Allow)?,
    ] {
        apply_filter_all_threads(&filter)?;
    }
    Ok(())
}

/// Restricts all threads of this process, now and later, to these system calls.
///
/// # Errors
/// If the kernel refuses a filter.
pub fn calls() -> Result<(), Error> {
    for filter in [deadly()?, allowed()?] {
        apply_filter_all_threads(&filter)?;
    }
    Ok(())
}

fn deadly() -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<_, _> = DEADLY.iter().map(|&call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_bpf, vec![first_argument(bpf::PROG_LOAD)?]);
    compile(rules, SeccompAction::Allow, SeccompAction::KillProcess)
}

fn allowed() -> Result<BpfProgram, Error> {
    // From sys/prctl.h: names of threads and, for glibc, of memory.
    const NAMES: [u32; 2] = [libc::PR_SET_NAME.cast_unsigned(), 0x5356_4d41];
    let mut rules: BTreeMap<_, _> = ALLOWED.iter().chain(OLDER).map(|&call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_bpf, COMMANDS.into_iter().map(first_argument).collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_prctl, NAMES.into_iter().map(first_argument).collect::<Result<_, _>>()?);
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    compile(rules, refused, SeccompAction::Allow)
}

fn first_argument(value: u32) -> Result<SeccompRule, Error> {
    let is = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value.into())?;
    Ok(SeccompRule::new(vec![is])?)
}

fn compile(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    then: SeccompAction,
) -> Result<BpfProgram, Error> {
    let architecture = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, otherwise, then, architecture)?.try_into()?)
}
