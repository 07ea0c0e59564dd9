//! `bpffs-pinner ping`: tells whether the pinner answers, for probes without a shell.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tonic::codegen::{Bytes, http};

/// How long the response may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// gRPC's frame of an empty message: not compressed, length 0.
const EMPTY: Bytes = Bytes::from_static(&[0; 5]);

/// Calls `GetNode` of the pinner at `socket`.
///
/// # Errors
/// A text that says why there was no good response.
pub fn ping(socket: &Path) -> Result<(), String> {
    let failed = |problem: String| format!("{} does not answer: {problem}", socket.display());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(e.to_string()))?;
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(socket)).await });
    answer
        .unwrap_or_else(|_| Err(format!("nothing came for {} s", PATIENCE.as_secs()).into()))
        .map_err(|e| failed(e.to_string()))
}

async fn ask(socket: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (pinner, connection) = h2::client::handshake(UnixStream::connect(socket).await?).await?;
    tokio::spawn(connection);
    let request = http::Request::post("http://pinner/bpffs.pinner.v1.Pinner/GetNode")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut body) = pinner.ready().await?.send_request(request, false)?;
    body.send_data(EMPTY, true)?;
    let answer = answer.await?;
    // A response without a message has its status in the headers, and then it is an error.
    match tonic::Status::from_header_map(answer.headers()) {
        None if answer.status().is_success() => Ok(()),
        None => Err(answer.status().to_string().into()),
        Some(status) => Err(status.message().to_owned().into()),
    }
}
