//! The system calls that volumes are made with: thin functions with owned descriptors, whose errors name the call.

pub mod bpf;
pub mod mount;
pub mod mountinfo;
pub mod mounts;
pub mod path;
pub mod selinux;
pub mod statmount;

use std::fmt;

use rustix::io::Errno;

/// A system call that failed.
#[derive(Debug)]
pub struct Error {
    /// The call, perhaps with its command: `fsconfig(create)`.
    pub call: &'static str,
    /// The kernel's error.
    pub errno: Errno,
    /// The path, pin or id that it was about; may be empty.
    pub object: String,
}

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.call)?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        write!(f, ": {}", errno_name(self.errno))
    }
}

impl std::error::Error for Error {}

/// Adds the call and its object to an errno.
pub trait Context<T> {
    /// `object` runs only on failure.
    ///
    /// # Errors
    /// The errno, with call and object.
    fn context(self, call: &'static str, object: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, call: &'static str, object: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error { call, errno, object: object() })
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, call: &'static str, object: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)).context(call, object)
    }
}

/// The errno of the raw system call that this thread made last.
#[must_use]
pub fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// The number of possible CPUs: those for which the kernel allocates per-CPU values, online or not.
///
/// # Errors
/// If `/sys` is not mounted.
pub fn possible_cpus() -> Result<u64> {
    const PATH: &str = "/sys/devices/system/cpu/possible";
    let list = std::fs::read_to_string(PATH).context("read", || PATH.to_owned())?;
    cpus(&list).ok_or(Errno::INVAL).context("read", || PATH.to_owned())
}

/// Counts a list like `0-3,8`: <https://docs.kernel.org/admin-guide/cputopology.html>
fn cpus(list: &str) -> Option<u64> {
    list.trim().split(',').try_fold(0, |sum, range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        Some(sum + to.parse::<u64>().ok()?.checked_sub(from.parse().ok()?)? + 1)
    })
}

/// `EPERM (Operation not permitted)`: the symbol to search for, and its text.
fn errno_name(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    let symbol = match errno {
        Errno::PERM => "EPERM",
        Errno::NOENT => "ENOENT",
        Errno::IO => "EIO",
        Errno::BADF => "EBADF",
        Errno::AGAIN => "EAGAIN",
        Errno::NOMEM => "ENOMEM",
        Errno::ACCESS => "EACCES",
        Errno::BUSY => "EBUSY",
        Errno::EXIST => "EEXIST",
        Errno::XDEV => "EXDEV",
        Errno::NODEV => "ENODEV",
        Errno::NOTDIR => "ENOTDIR",
        Errno::ISDIR => "EISDIR",
        Errno::INVAL => "EINVAL",
        Errno::NFILE => "ENFILE",
        Errno::MFILE => "EMFILE",
        Errno::NOSPC => "ENOSPC",
        Errno::ROFS => "EROFS",
        Errno::NAMETOOLONG => "ENAMETOOLONG",
        Errno::NOSYS => "ENOSYS",
        Errno::NOTEMPTY => "ENOTEMPTY",
        Errno::LOOP => "ELOOP",
        Errno::TOOBIG => "E2BIG",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        _ => return format!("errno {} ({words})", errno.raw_os_error()),
    };
    format!("{symbol} ({words})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_call_object_and_errno() {
        let failed = Err::<(), _>(Errno::PERM).context("bpf(OBJ_PIN)", || "flows".to_owned());
        let text = failed.map_err(|error| error.to_string());
        assert_eq!(text, Err("bpf(OBJ_PIN) flows: EPERM (Operation not permitted)".to_owned()));
    }

    #[test]
    fn a_list_of_cpus_is_counted() {
        for (list, count) in
            [("0\n", Some(1)), ("0-1\n", Some(2)), ("0-3,8,10-11\n", Some(7)), ("", None), ("3-1", None)]
        {
            assert_eq!(cpus(list), count, "{list:?}");
        }
    }

    #[test]
    fn an_errno_without_a_symbol_here_keeps_its_number() {
        assert_eq!(errno_name(Errno::STALE), "errno 116 (Stale file handle)");
    }
}
