//! What callers can make the pinner hold: every bound of the service, in one place. `SECURITY.md` says what follows from them.

use std::time::Duration;

/// Connections of the node plugin at a time; it needs one, and a second while it restarts.
pub const CONNECTIONS: usize = 8;
/// Connections of others at a time, and so of root, who may ask whether the pinner is there whatever the node plugin does.
pub const OTHER_CONNECTIONS: usize = 4;
/// Calls at a time, on all connections together, from their headers to the end of their answers.
pub const CALLS: usize = 64;
/// Bytes of a request: 1 KiB for each map of the largest volume.
pub const REQUEST: usize = 256 << 10;
/// Bytes of an answer.
pub const ANSWER: usize = 512 << 10;
/// Bytes of an answer that are handed to HTTP/2 at a time, and so can be held for a peer that does not read.
pub const PIECE: usize = 16 << 10;
/// Bytes of a call's headers.
pub const HEADERS: u32 = 8 << 10;
/// Bytes that a peer may send ahead, of a call and on a connection.
pub const WINDOWS: (u32, u32) = (64 << 10, 256 << 10);
/// How long a call may take, its request included.
pub const CALL_TIME: Duration = Duration::from_secs(60);
/// How often a connection is asked whether its peer is alive, and how long that may take.
pub const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// When a connection is told to go once its calls have ended, so that none that is of no use stays.
pub const CONNECTION_AGE: Duration = Duration::from_secs(3600);
/// How long nothing is accepted after the kernel had no descriptor to give.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How often memory that is free is given back to the kernel.
pub const GIVE_BACK: Duration = Duration::from_secs(10);

/// Bytes of a status text as it travels, percent-encoded in a header. Peers drop connections with headers too long.
pub const STATUS: usize = 2 << 10;
/// Bytes of a list in a text.
pub const LIST: usize = 512;
/// Bytes of a value of a request that a text or a log line quotes.
pub const QUOTE: usize = 256;
/// Bytes of a path in the log.
pub const PATH: usize = 1 << 10;
/// Lines of the log that wait to be written; each is shorter than 8 KiB by the bounds above.
pub const LOG_LINES: usize = 256;
/// Descriptors of the process: each of four threads may hold a volume that is there and one that is to be, of 256 maps each.
pub const DESCRIPTORS: u64 = 4096;
/// Bytes that the process may allocate, stacks included. What callers can make it hold is a quarter of this; beyond it ends.
pub const DATA: u64 = 256 << 20;
