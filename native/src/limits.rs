//! All limits on what callers can make the pinner use, in one place. `SECURITY.md` says what follows from them.

use std::time::Duration;

/// Connections of the node plugin. It needs one, and a second while it restarts.
pub const CONNECTIONS: usize = 8;
/// Connections of all others, so that root's probe gets through whatever the node plugin does.
pub const OTHER_CONNECTIONS: usize = 4;
/// Concurrent calls over all connections, each from its headers to the end of its response.
pub const CALLS: usize = 64;
/// Bytes of a request: 1 KiB for each map of the largest volume.
pub const REQUEST: usize = 256 << 10;
/// Bytes of a response.
pub const ANSWER: usize = 512 << 10;
/// Bytes of a response handed to HTTP/2 at once, which it buffers if the peer does not read.
pub const PIECE: usize = 16 << 10;
/// Bytes of a call's headers.
pub const HEADERS: u32 = 8 << 10;
/// HTTP/2 flow-control windows in bytes: of a stream, of a connection.
pub const WINDOWS: (u32, u32) = (64 << 10, 256 << 10);
/// How long a call may take, including the receipt of its request.
pub const CALL_TIME: Duration = Duration::from_secs(60);
/// HTTP/2 keepalive: the interval of pings, and how long the reply may take.
pub const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// When a connection gets a GOAWAY, so that no useless one stays forever.
pub const CONNECTION_AGE: Duration = Duration::from_secs(3600);
/// Pause after a failed accept.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How often free memory is returned to the kernel.
pub const GIVE_BACK: Duration = Duration::from_secs(10);

/// Bytes of a status message, percent-encoded as in the header. Peers drop connections whose headers are too long.
pub const STATUS: usize = 2 << 10;
/// Bytes of a list in a message.
pub const LIST: usize = 512;
/// Bytes of a request's value quoted in a message or log line.
pub const QUOTE: usize = 256;
/// Bytes of a path in the log.
pub const PATH: usize = 1 << 10;
/// Log lines waiting to be written. The limits above keep each below 8 KiB.
pub const LOG_LINES: usize = 256;
/// Open descriptors: each of eight threads may hold an old and a new volume of 256 maps each.
pub const DESCRIPTORS: u64 = 8192;
/// Bytes of memory, stacks included (`RLIMIT_DATA`): four times what callers can make the pinner use. Beyond it the
/// process ends.
pub const DATA: u64 = 256 << 20;
