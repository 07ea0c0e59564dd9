//! Errors by meaning, and the one place that maps them to gRPC statuses.

use rustix::io::Errno;
use tonic::{Code, Status};

use crate::limits::STATUS;
use crate::sys;
use crate::text::fit;

/// Why a call failed. Each text names what it is about and, where someone can act, what to do.
#[derive(Debug)]
pub enum Error {
    /// A field of the request is missing or malformed.
    InvalidArgument(String),
    /// A source does not exist yet; a later call may succeed.
    NotYet(String),
    /// A source has to be fixed first, or the kernel cannot do it.
    Unusable(String),
    /// Something else is at the target.
    Occupied(String),
    /// Something is there that this call must not touch.
    NotOurs(String),
    /// No such volume.
    NotFound(String),
    /// Another call is working on this target.
    Busy(String),
    /// The budget, a limit or the size of a response does not allow it.
    Exhausted(String),
    /// The caller has given up.
    Cancelled,
    /// An unexpected kernel error.
    Kernel(sys::Error),
}

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        Self::Kernel(error)
    }
}

impl Error {
    /// Adds the name of the map that the error is about.
    #[must_use]
    pub fn of_map(self, map: &str) -> Self {
        let about = |text: String| format!("map {map:?}: {text}");
        match self {
            Self::InvalidArgument(text) => Self::InvalidArgument(about(text)),
            Self::NotYet(text) => Self::NotYet(about(text)),
            Self::Unusable(text) => Self::Unusable(about(text)),
            Self::Exhausted(text) => Self::Exhausted(about(text)),
            Self::Kernel(error) => Self::Kernel(sys::Error { object: about(error.object), ..error }),
            other => other,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, text) = match error {
            Error::InvalidArgument(text) => (Code::InvalidArgument, text),
            Error::NotYet(text) => (Code::Unavailable, text),
            Error::Unusable(text) | Error::NotOurs(text) => (Code::FailedPrecondition, text),
            Error::Occupied(text) => (Code::AlreadyExists, text),
            Error::NotFound(text) => (Code::NotFound, text),
            Error::Busy(text) => (Code::Aborted, text),
            Error::Exhausted(text) => (Code::ResourceExhausted, text),
            Error::Cancelled => (Code::Cancelled, "the caller does not wait any more; nothing was attached".to_owned()),
            Error::Kernel(error) => (kernel_code(error.errno), error.to_string()),
        };
        Self::new(code, fit(&text, STATUS))
    }
}

fn kernel_code(errno: Errno) -> Code {
    match errno {
        Errno::NOMEM | Errno::NOSPC | Errno::MFILE | Errno::NFILE | Errno::DQUOT => Code::ResourceExhausted,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(errno: Errno) -> Status {
        Error::Kernel(sys::Error { call: "fsmount", errno, object: "bpf".to_owned() }).of_map("flows").into()
    }

    #[test]
    fn a_kernel_out_of_something_is_resource_exhausted() {
        assert_eq!(kernel(Errno::NOMEM).code(), Code::ResourceExhausted);
    }

    #[test]
    fn an_unplanned_kernel_error_is_internal_and_names_call_map_and_errno() {
        let status = kernel(Errno::IO);
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.message(), "fsmount map \"flows\": bpf: EIO (Input/output error)");
    }

    #[test]
    fn codes_by_meaning() {
        for (error, code) in [
            (Error::InvalidArgument(String::new()), Code::InvalidArgument),
            (Error::NotYet(String::new()), Code::Unavailable),
            (Error::Unusable(String::new()), Code::FailedPrecondition),
            (Error::Occupied(String::new()), Code::AlreadyExists),
            (Error::NotOurs(String::new()), Code::FailedPrecondition),
            (Error::NotFound(String::new()), Code::NotFound),
            (Error::Busy(String::new()), Code::Aborted),
            (Error::Exhausted(String::new()), Code::ResourceExhausted),
            (Error::Cancelled, Code::Cancelled),
        ] {
            assert_eq!(Status::from(error).code(), code);
        }
    }
}
