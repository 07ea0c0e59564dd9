//! Tests the pinner's promises against the real kernel.
//!
//! Each test runs in its own mount namespace, so that its mounts are neither seen outside nor left behind. The pinner
//! is the real process, or the same service on a thread if a test needs the way of older kernels on a newer one. What a
//! kernel cannot do is found by trying, and reported as "skipped".
//!
//! Run as root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod beyond;
mod budget;
mod calls;
mod carriers;
mod dead;
mod delegated_map;
mod delegation;
mod delegation_calls;
mod delegation_names;
mod delegation_volume;
mod describe_volume;
mod isolation;
mod kept;
mod kill;
mod kill_kept;
mod layout;
mod limits;
mod locks;
mod log;
mod map_of_maps;
mod marks;
mod outside;
mod pin_roots;
mod process;
mod publish;
mod read_only;
mod renew;
mod selinux;
mod siblings;
mod single_target;
mod sources_created;
mod sources_loaded;
mod sources_pinned;
mod sources_workspace;
mod start;
mod store;
mod support;
mod swap;
mod target;
mod turns;
mod unpublish;
mod vouched;
mod watchdog;
mod workspace;
mod workspace_view;
