//! What surrounds a call: its claim on a target, its cancellation, its line in the log.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tonic::{Code, Status};

use crate::error::{Error, Result};

/// The targets that calls work on.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<HashSet<PathBuf>>>);

/// A target that one call works on; given back when it is dropped.
#[derive(Debug)]
pub struct Claim {
    targets: Targets,
    target: PathBuf,
}

impl Targets {
    /// Takes a target for one call.
    ///
    /// # Errors
    /// [`Error::Busy`] while another call has it.
    pub fn claim(&self, target: &Path) -> Result<Claim> {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !targets.insert(target.to_owned()) {
            return Err(Error::Busy(format!("another call works on {}", target.display())));
        }
        Ok(Claim { targets: self.clone(), target: target.to_owned() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.targets.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.target);
    }
}

/// Kept by who waits for a call; when it is dropped, the thread that works for the call learns that nobody does any more.
#[derive(Debug, Default)]
pub struct Waiting(Arc<AtomicBool>);

impl Waiting {
    /// Asks whether the call was given up, from another thread.
    pub fn is_cancelled(&self) -> impl Fn() -> bool + Send + use<> {
        let cancelled = Arc::clone(&self.0);
        move || cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the log says of a call.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Empty where the call is about none.
    pub volume_id: String,
    /// Empty where the call is about none.
    pub target_path: String,
}

/// Logs a call that has ended, in one line.
pub fn log(method: &str, subject: &Subject, start: Instant, error: Option<&Status>) {
    let duration_ms = (start.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    let code = code_name(error.map_or(Code::Ok, Status::code));
    let reason = error.map(Status::message);
    // A field without a value is left out.
    let [volume_id, target_path] =
        [&subject.volume_id, &subject.target_path].map(|text| Some(text.as_str()).filter(|text| !text.is_empty()));
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                method,
                code,
                durationMs = duration_ms,
                volumeId = volume_id,
                targetPath = target_path,
                error = reason,
                "call"
            )
        };
    }
    if error.is_some() { line!(tracing::Level::WARN) } else { line!(tracing::Level::INFO) }
}

/// As gRPC's documentation writes them, and the node plugin's log: <https://grpc.io/docs/guides/status-codes/>.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        // The others are never made here.
        _ => "UNKNOWN",
    }
}
