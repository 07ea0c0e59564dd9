//! The pinner of csi-driver-bpffs: builds and removes volumes of pinned BPF maps.
//!
//! ```text
//! main ── config, privileges, probe ─▶ listen ─▶ transport ─▶ guard ─▶ server
//!                                                                         │
//!      ┌──────────────────────────────────────────────────────────────────┘
//!      └─▶ request (checked) ─▶ volume ─▶ source ─▶ store ─▶ tree
//!               └─▶ kubelet ◀─┘  └────────┴─────────┴────────┴──▶ sys
//! ```
//! A second process, the delegator, waits for pods that are to have BPF tokens: see `delegation`.
//!
//!
//! It knows maps and mounts. Who may have which map is decided before it is called.

pub mod accept;
pub mod answer;
pub mod call;
pub mod config;
pub mod delegation;
pub mod error;
pub mod guard;
pub mod helpers;
pub mod kubelet;
pub mod limits;
pub mod listen;
pub mod lock;
pub mod log;
pub mod map_memory;
pub mod map_type;
pub mod memory;
pub mod peer_directory;
pub mod ping;
pub mod privileges;
pub mod probe;
pub mod request;
pub mod server;
pub mod source;
pub mod store;
pub mod sys;
pub mod text;
pub mod transport;
pub mod tree;
pub mod volume;
pub mod watchdog;

/// The API, generated from `proto/pinner.proto`.
#[expect(missing_docs, clippy::pedantic, reason = "generated; documented in the .proto file")]
pub mod api {
    tonic::include_proto!("bpffs.pinner.v1");
}
