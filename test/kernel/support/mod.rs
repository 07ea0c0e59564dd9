//! What the tests are built on: a node of their own, the kernel as a client sees it, and unprivileged users.

pub mod attempt;
pub mod client;
pub mod fuse;
pub mod map;
pub mod mounts;
pub mod node;
pub mod pod;
pub mod program;
pub mod user;
pub mod wanted;

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tonic::{Code, Status};

/// Reports on the terminal, past the test runner's capture, that something was not tested.
pub fn skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
}

/// A name that no other test or run uses for an object of this kernel. At most 15 characters.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{prefix}{:x}_{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    assert!(name.len() <= 15, "{name} is too long");
    name
}

/// Waits until a condition holds.
#[track_caller]
pub fn eventually(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "it never came to be so");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asserts that a call failed with this code and that its message has all these parts.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, parts: &[&str]) {
    let status = answer.expect_err("should have been refused");
    assert_eq!(status.code(), code, "{}", status.message());
    for part in parts {
        assert!(status.message().contains(part), "{part:?} is not in {:?}", status.message());
    }
}

/// Runs each check against the pinner as it is here, and against one that composes as on kernels before 6.15.
macro_rules! both_ways {
    ($($check:ident),* $(,)?) => {
        mod as_it_is {
            $(#[test] fn $check() { super::$check(&crate::support::node::Node::start()); })*
        }
        mod as_on_older_kernels {
            $(#[test] fn $check() { super::$check(&crate::support::node::Node::composing_in_namespace()); })*
        }
    };
}
pub(crate) use both_ways;
