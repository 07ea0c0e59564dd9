//! gRPC over the socket, within [`crate::limits`].

use std::future::Future;

use tokio::net::UnixListener;
use tonic::transport::{Error, Server};

use crate::accept::accept;
use crate::api::pinner_server::PinnerServer;
use crate::guard::Guard;
use crate::limits::{CALL_TIME, CALLS, CONNECTION_AGE, HEADERS, KEEPALIVE, REQUEST, WINDOWS};
use crate::server::Service;

/// Serves `peer` until `stop` is ready, then finishes the calls in progress.
///
/// # Errors
/// A transport error that affects all connections.
pub async fn serve(
    service: Service,
    listener: UnixListener,
    peer: u32,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    // More streams would only be refused a permit.
    let streams = u32::try_from(CALLS).unwrap_or(u32::MAX);
    Server::builder()
        .max_concurrent_streams(streams)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_connection_age(CONNECTION_AGE)
        .timeout(CALL_TIME)
        .layer(Guard::new(peer))
        .add_service(PinnerServer::new(service).max_decoding_message_size(REQUEST))
        .serve_with_incoming_shutdown(accept(listener, peer), stop)
        .await
}
