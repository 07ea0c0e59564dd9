//! What each call needs: its claim on a target, its cancellation, its log line.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tonic::{Code, Request, Status};

use crate::error::{Error, Result};
use crate::limits::{PATH, QUOTE};
use crate::text::{fit, list};

/// The targets that calls are working on.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<HashSet<PathBuf>>>);

/// A target claimed by one call, until dropped.
#[derive(Debug)]
pub struct Claim {
    targets: Targets,
    target: PathBuf,
}

impl Targets {
    /// Claims a target for one call.
    ///
    /// # Errors
    /// [`Error::Busy`] while another call has claimed it.
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

/// Held by the task that waits for a call. Dropping it tells the thread that does the work that nobody waits any more.
#[derive(Debug)]
pub struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The log line of a call. Written when the call ends, or on drop if the caller gave up.
#[derive(Debug)]
pub struct Line {
    method: String,
    start: Instant,
    volume_id: String,
    target_path: String,
    maps: Option<String>,
    outcome: Option<&'static str>,
    level: tracing::Level,
    is_given_up: Arc<AtomicBool>,
    has_ended: bool,
}

impl Line {
    /// Starts measuring the duration.
    #[must_use]
    pub fn new(method: &str) -> Self {
        Self {
            method: fit(method, QUOTE),
            start: Instant::now(),
            volume_id: String::new(),
            target_path: String::new(),
            maps: None,
            outcome: None,
            level: tracing::Level::INFO,
            is_given_up: Arc::default(),
            has_ended: false,
        }
    }

    /// The line that the guard began for this request.
    #[must_use]
    pub fn of<T>(request: &mut Request<T>, method: &'static str) -> Self {
        request
            .extensions_mut()
            .remove::<Pending>()
            .and_then(|pending| pending.take())
            .unwrap_or_else(|| Self::new(method))
    }

    /// The method's name, as the caller sent it.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Sets the volume and target, as the request has them.
    #[must_use]
    pub fn about(mut self, volume_id: &str, target_path: &str) -> Self {
        (self.volume_id, self.target_path) = (fit(volume_id, QUOTE), fit(target_path, PATH));
        self
    }

    /// Sets the maps that were asked for.
    pub fn asks_for<T: Display>(&mut self, maps: impl IntoIterator<Item = T>) {
        self.maps = Some(list(maps));
    }

    /// Sets what the call did.
    pub fn did(&mut self, outcome: &'static str) {
        self.outcome = Some(outcome);
    }

    /// Logs success at level debug: for calls that come again and again and change nothing.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.make_quiet();
        self
    }

    /// As [`Line::quiet`], when only the work shows that nothing has changed.
    pub fn make_quiet(&mut self) {
        self.level = tracing::Level::DEBUG;
    }

    /// To be held while the caller waits.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        Waiting(Arc::clone(&self.is_given_up))
    }

    /// Whether the caller has given up.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// Writes the line.
    pub fn end(mut self, error: Option<&Status>) {
        self.write(error);
    }

    fn write(&mut self, error: Option<&Status>) {
        self.has_ended = true;
        let duration_ms = (self.start.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        let code = code_name(error.map_or(Code::Ok, Status::code));
        // `None` leaves a field out.
        let [volume_id, target_path] =
            [&self.volume_id, &self.target_path].map(|text| Some(text.as_str()).filter(|text| !text.is_empty()));
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    method = self.method,
                    code,
                    durationMs = duration_ms,
                    volumeId = volume_id,
                    targetPath = target_path,
                    maps = self.maps,
                    outcome = self.outcome,
                    callerGone = self.is_given_up().then_some(true),
                    error = error.map(Status::message),
                    "call"
                )
            };
        }
        match (error.is_some(), self.level) {
            (true, _) => line!(tracing::Level::WARN),
            (false, tracing::Level::DEBUG) => line!(tracing::Level::DEBUG),
            (false, _) => line!(tracing::Level::INFO),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.has_ended {
            self.is_given_up.store(true, Ordering::Relaxed);
            self.write(Some(&Error::Cancelled.into()));
        }
    }
}

/// Carries a line from the guard to the service in the request's extensions.
#[derive(Clone, Debug)]
pub struct Pending(Arc<Mutex<Option<Line>>>);

impl Pending {
    /// Wraps a line.
    #[must_use]
    pub fn new(line: Line) -> Self {
        Self(Arc::new(Mutex::new(Some(line))))
    }

    /// The line, unless it was taken already.
    #[must_use]
    pub fn take(&self) -> Option<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// As in gRPC's documentation and the node plugin's log: <https://grpc.io/docs/guides/status-codes/>.
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
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        // The pinner returns no others.
        _ => "UNKNOWN",
    }
}
