//! Accepts connections up to a limit. Beyond it they are closed, so that none waits in the pinner's memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, UdsConnectInfo};

use crate::limits::{ACCEPT_PAUSE, CONNECTIONS, OTHER_CONNECTIONS};

/// A connection and its permit.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

/// Accepts until the stream is dropped. Connections of `peer` beyond [`CONNECTIONS`] are closed at once. When accepting
/// fails, for example for want of descriptors, the next try comes after a pause; until then clients wait in the listen
/// backlog.
#[must_use]
pub fn accept(listener: UnixListener, peer: u32) -> ReceiverStream<io::Result<Connection>> {
    let (to, connections) = mpsc::channel(1);
    tokio::spawn(async move {
        let [of_peer, of_others] = [CONNECTIONS, OTHER_CONNECTIONS].map(|places| Arc::new(Semaphore::new(places)));
        loop {
            let accepted = tokio::select! { accepted = listener.accept() => accepted, () = to.closed() => return };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = %error, "accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let is_peer = stream.peer_cred().is_ok_and(|found| found.uid() == peer);
            let places = if is_peer { &of_peer } else { &of_others };
            if let Ok(place) = Arc::clone(places).try_acquire_owned() {
                let _ = to.send(Ok(Connection { stream, _place: place })).await;
            } else {
                tracing::warn!("refused a connection: there are too many");
            }
        }
    });
    ReceiverStream::new(connections)
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, to)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
