//! Guards the service: who may call, how many calls run at once, and how much of their responses is in memory.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, Service, http};
use tonic::transport::server::UdsConnectInfo;
use tower_layer::Layer;

use crate::call::{Line, Pending};
use crate::limits::{CALLS, PIECE};

/// Root may call it too: a liveness probe runs as root in the pinner's container.
const OPEN_TO_ROOT: &str = "/bpffs.pinner.v1.Pinner/GetNode";

/// A tower layer that guards a service.
#[derive(Clone, Debug)]
pub struct Guard {
    peer: u32,
    places: Arc<Semaphore>,
}

impl Guard {
    /// Lets `peer`, known by `SO_PEERCRED` at accept time, make at most [`CALLS`] calls at once.
    #[must_use]
    pub fn new(peer: u32) -> Self {
        Self { peer, places: Arc::new(Semaphore::new(CALLS)) }
    }

    /// `None` for root's probe, which needs no permit.
    fn admit<T>(&self, request: &http::Request<T>) -> Result<Option<OwnedSemaphorePermit>, Status> {
        let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
        match peer.map(|peer| peer.uid()) {
            Some(uid) if uid == self.peer => Arc::clone(&self.places).try_acquire_owned().map(Some).map_err(|_| {
                Status::resource_exhausted(format!("the pinner works on {CALLS} calls; ask again when some have ended"))
            }),
            Some(0) if request.uri().path() == OPEN_TO_ROOT => Ok(None),
            Some(uid) => {
                let answered = self.peer;
                Err(Status::permission_denied(format!("the pinner answers uid {answered} only, this is uid {uid}")))
            }
            None => Err(Status::permission_denied("the pinner answers on a unix socket only")),
        }
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, service: S) -> Guarded<S> {
        Guarded { guard: self.clone(), service }
    }
}

/// A guarded service.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    guard: Guard,
    service: S,
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let line = Line::new(path.rsplit('/').next().unwrap_or(path));
        let place = match self.guard.admit(&request) {
            Ok(place) => place,
            Err(status) => {
                line.end(Some(&status));
                return Box::pin(async move { Ok(status.into_http()) });
            }
        };
        let pending = Pending::new(line);
        request.extensions_mut().insert(pending.clone());
        let call = self.service.call(request);
        Box::pin(async move {
            let response = call.await?;
            // The service never saw the call: the request was too large or malformed, or the method is unknown.
            if let Some(line) = pending.take() {
                line.end(Status::from_header_map(response.headers()).as_ref());
            }
            Ok(response.map(|body| Body::new(Answer { body, rest: Bytes::new(), _place: place })))
        })
    }
}

/// A response body that holds its call's permit until it is sent. It is sent in pieces, because HTTP/2 buffers what it
/// was given for as long as the peer does not read.
struct Answer {
    body: Body,
    rest: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}
