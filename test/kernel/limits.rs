//! What a caller can make the pinner use, log and send.

use std::fs;
use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bpffs_pinner::api;
use bpffs_pinner::api::publish_volume_response::Outcome;
use bpffs_pinner::limits::{ACCEPT_PAUSE, ANSWER, CALLS, CONNECTIONS, OTHER_CONNECTIONS, REQUEST, STATUS};
use bpffs_pinner::probe::probe;
use bpffs_pinner::server::Service;
use bpffs_pinner::transport;
use bpffs_pinner::tree::compose::Composer;
use bpffs_pinner::watchdog::Watchdog;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use prost::Message;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tonic::codegen::{Bytes, http, http::HeaderMap};
use tonic::{Code, Status};

use crate::support::client::Client;
use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::{Wanted, Workspace};
use crate::support::{assert_refused, eventually, map};

/// KiB that the pinner always stays below, as `SECURITY.md` says.
const MEMORY: u64 = 64 << 10;
/// How long to wait for what may never come.
const SOON: Duration = Duration::from_millis(2);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub async fn connect(socket: &Path) -> SendRequest<Bytes> {
    connect_as(&mut h2::client::Builder::new(), socket).await.unwrap()
}

async fn connect_as(client: &mut h2::client::Builder, socket: &Path) -> Result<SendRequest<Bytes>, h2::Error> {
    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let (sender, connection) = client.handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub async fn ready(sender: &mut SendRequest<Bytes>) -> Result<(), h2::Error> {
    poll_fn(|context| sender.poll_ready(context)).await
}

/// Sends a call whose request begins with `body`, without its end. Also returns the stream for the rest.
fn begin(to: &mut SendRequest<Bytes>, body: &[u8]) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
    begin_within("1M", to, body)
}

/// As [`begin`], with a deadline in gRPC's format, which this client does not enforce.
pub fn begin_within(
    deadline: &str,
    to: &mut SendRequest<Bytes>,
    body: &[u8],
) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
    let request = http::Request::post("http://pinner/bpffs.pinner.v1.Pinner/PublishVolume")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", deadline);
    let (answer, mut rest) = to.send_request(request.body(()).unwrap(), false)?;
    rest.send_data(Bytes::copy_from_slice(body), false)?;
    Ok((answer, rest))
}

/// A message with gRPC's length prefix.
pub fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &bytes].concat()
}

fn status(headers: &HeaderMap) -> Option<Code> {
    Status::from_header_map(headers).map(|status| status.code())
}

#[test]
fn half_sent_requests_take_little_and_end_no_other_call() {
    let node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows);
    let whole = framed(&wanted.request());
    let (first, last) = whole.split_at(whole.len() / 2);
    // The prefix announces the largest request allowed.
    let length = u32::try_from(REQUEST).unwrap().to_be_bytes();
    let half = [&[0], &length[..], &vec![b'x'; REQUEST - 1]].concat();

    let (refused, closed, answer) = runtime().block_on(async {
        let mut other = connect(&node.socket).await;
        let (in_flight, mut rest) = begin(&mut other, first).unwrap();
        let (mut refused, mut closed, mut held) = (0, 0, Vec::new());
        for _ in 0..20 {
            let Ok(mut sender) = connect_as(&mut h2::client::Builder::new(), &node.socket).await else {
                closed += 1;
                continue;
            };
            let mut calls = Vec::new();
            // Calls beyond the pinner's stream limit wait here; otherwise sending one does not take long.
            while calls.len() < 200
                && tokio::time::timeout(SOON, ready(&mut sender)).await.is_ok_and(|ready| ready.is_ok())
            {
                let Ok(begun) = begin(&mut sender, &half) else { break };
                calls.push(begun);
            }
            held.push(calls);
        }
        for calls in held {
            let mut is_closed = true;
            for (answer, _rest) in calls {
                match tokio::time::timeout(SOON, answer).await {
                    Ok(Ok(answer)) => {
                        assert_eq!(status(answer.headers()), Some(Code::ResourceExhausted));
                        (refused, is_closed) = (refused + 1, false);
                    }
                    Ok(Err(_)) => {}
                    Err(_) => is_closed = false,
                }
            }
            closed += usize::from(is_closed);
        }
        rest.send_data(Bytes::copy_from_slice(last), true).unwrap();
        (refused, closed, in_flight.await.unwrap())
    });

    assert_eq!(status(answer.headers()), None, "it has a message: {answer:?}");
    assert!(wanted.target().join("flows").exists());
    assert!(closed >= 20 - CONNECTIONS, "{closed} connections were closed");
    assert!(refused > 0, "no call was refused");
    assert!(node.memory("VmHWM") < MEMORY, "{} KiB", node.memory("VmHWM"));
    // The pinner notices a moment later that the connections are closed.
    eventually(|| node.node().is_ok());
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);
    let lines = || fs::read_to_string(node.log()).unwrap();
    eventually(|| lines().contains("\"code\":\"RESOURCE_EXHAUSTED\"") && lines().contains("refused a connection"));
}

#[test]
fn idle_connections_are_few_and_keep_nobody_out_for_good() {
    let node = Node::start_with(&["--peer-uid", "65532"]);
    let connected = |_| {
        let stream = UnixStream::connect(&node.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        stream
    };
    let idle: Vec<_> = User::plain(65532).run(|| (0..500).map(connected).collect());
    let open = || {
        let is_open = |mut stream: &UnixStream| match stream.read(&mut [0; 64]) {
            // The SETTINGS frame, with which the server begins.
            Ok(length) => length > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        idle.iter().filter(|stream| is_open(stream)).count()
    };
    // The last ones may still be waiting in the backlog.
    eventually(|| open() <= CONNECTIONS);
    let plugin = || User::plain(65532).run(|| Client::new(&node.socket).node());
    plugin().expect_err("the idle connections are all that there may be");
    node.node().expect("root has places of its own");
    assert!(node.memory("VmHWM") < MEMORY, "{} KiB", node.memory("VmHWM"));
    drop(idle);
    eventually(|| plugin().is_ok());
}

#[test]
fn others_have_few_connections_too() {
    let node = Node::start_with(&["--peer-uid", "65532"]);
    let idle: Vec<_> = (0..50).map(|_| UnixStream::connect(&node.socket).unwrap()).collect();
    User::plain(65532).run(|| Client::new(&node.socket).node()).unwrap();
    let closed = |mut stream: &UnixStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0; 64]), Ok(0))
    };
    // The test's own client may have one.
    eventually(|| idle.iter().filter(|stream| closed(stream)).count() >= 50 - OTHER_CONNECTIONS);
}

/// A call beyond the limit is refused at once, and the waiting ones succeed.
#[test]
fn calls_that_wait_are_bounded() {
    const MORE: usize = 6;
    let node = Node::without_pinner();
    let (_flows, flows) = node.map("flows", 1);
    let service = Service::new(node.publisher(Composer::new().unwrap()), probe(), Watchdog::default());
    let runtime = Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    let (release, held) = channel::<()>();
    runtime.spawn_blocking(move || held.recv());
    let listener = UnixListener::bind(&node.socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        tokio::spawn(transport::serve(service, listener, 0, std::future::pending()));
        let mut connections = [connect(&node.socket).await, connect(&node.socket).await];
        let mut calls = JoinSet::new();
        for number in 0..CALLS + MORE {
            let sender = &mut connections[number % 2];
            ready(sender).await.unwrap();
            let wanted = Wanted::new("volume", &node.target(&format!("pod-{number}"))).read("flows", flows.clone());
            let (answer, mut rest) = begin(sender, &framed(&wanted.request())).unwrap();
            rest.send_data(Bytes::new(), true).unwrap();
            calls.spawn(async move { status(answer.await.unwrap().headers()) });
        }
        for _ in 0..MORE {
            assert_eq!(calls.join_next().await.unwrap().unwrap(), Some(Code::ResourceExhausted));
        }
        drop(release);
        while let Some(answer) = calls.join_next().await {
            assert_eq!(answer.unwrap(), None, "an answer with a message");
        }
        let again = Wanted::new("volume", &node.target("again")).read("flows", flows.clone());
        let (answer, mut rest) = begin(&mut connections[0], &framed(&again.request())).unwrap();
        rest.send_data(Bytes::new(), true).unwrap();
        assert_eq!(status(answer.await.unwrap().headers()), None, "the places were given back");
    });
}

#[test]
fn a_request_too_large_is_refused() {
    let node = Node::start();
    let lines = || fs::read_to_string(node.log()).unwrap();
    let wanted = Wanted::new(&"x".repeat(REQUEST), &node.target("pod"));
    assert_refused(node.publish(&wanted), Code::OutOfRange, &[&REQUEST.to_string()]);
    eventually(|| lines().contains("\"method\":\"PublishVolume\",\"code\":\"OUT_OF_RANGE\""));
    let wanted = Wanted::new(&"x".repeat(REQUEST / 2), &node.target("pod"));
    assert_refused(node.publish(&wanted), Code::InvalidArgument, &["maps: must have"]);
    eventually(|| lines().contains("\"code\":\"INVALID_ARGUMENT\""));
    assert!(lines().lines().all(|line| line.len() < 8 << 10), "a line is too long");
}

fn sent_length(text: &str) -> usize {
    Status::internal(text).into_http::<()>().headers()["grpc-message"].len()
}

#[test]
fn a_text_is_cut_whatever_it_lists() {
    let node = Node::start();
    node.publish_workspace(&Workspace::new("pv", &node.pod("pod", "pv"))).unwrap();
    let (_flows, flows) = node.map("flows", 1);
    let name = |number: usize| format!("{number:03}{}", "x".repeat(125));
    let target = node.pod("pod", "maps");
    let wanted = (0..256).fold(Wanted::new("maps", &target), |wanted, n| wanted.read(&name(n), flows.clone()));
    let error = node.publish(&wanted).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    assert!(error.message().contains(" … and 253 more"), "{error:?}");
    assert!(error.message().ends_with("into two pods"), "the advice is there: {error:?}");
    assert!(sent_length(error.message()) <= STATUS, "{error:?}");

    let flags = (0..40).map(|_| "\u{202e}\"%".repeat(500)).collect();
    let created = api::CreatedMap { name: "a".to_owned(), r#type: "hash".to_owned(), flags, ..Default::default() };
    let error = node.describe(crate::support::wanted::defined(created)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert!(sent_length(error.message()) <= STATUS, "{error:?}");
    assert!(!error.message().contains('\u{202e}'), "{error:?}");
}

/// Publishes a workspace with 1,024 pins of long paths, and returns the request that describes it.
fn deep_workspace(node: &Node) -> api::DescribeVolumeRequest {
    let wanted = Workspace::new("pv", &node.pod("pod", "pv"));
    node.publish_workspace(&wanted).unwrap();
    let deep = (0..6).fold(wanted.target(), |path, _| path.join("d".repeat(250)));
    fs::create_dir_all(&deep).unwrap();
    let flows = map::hash("flows", 1);
    for number in 0..1024 {
        map::pin(flows.as_fd(), &deep.join(format!("{number:0250}"))).unwrap();
    }
    api::DescribeVolumeRequest { volume_id: "pv".to_owned(), target_path: wanted.0.target_path }
}

#[test]
fn an_answer_is_cut_whatever_is_in_a_workspace() {
    const AT_ONCE: usize = 8;
    let node = Node::start();
    let request = deep_workspace(&node);
    let answers = node.run(|pinner| async move {
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (mut pinner, request) = (pinner.clone(), request.clone());
            calls.spawn(async move { pinner.describe_volume(request).await.unwrap().into_inner() });
        }
        calls.join_all().await
    });
    assert_eq!(answers.len(), AT_ONCE);
    for answer in answers {
        assert!(answer.encoded_len() <= ANSWER, "{} bytes", answer.encoded_len());
        assert!(answer.files.len() > 200 && answer.left_out > 0);
        assert_eq!(answer.files.len() + usize::try_from(answer.left_out).unwrap(), 1024);
    }
    assert!(node.memory("VmHWM") < MEMORY, "{} KiB", node.memory("VmHWM"));
}

/// If a peer never reads, its calls keep their permits, and the pinner buffers little of the responses.
#[test]
fn answers_that_nobody_reads_take_little() {
    let node = Node::start();
    let request = framed(&deep_workspace(&node));
    let before = node.memory("VmRSS");
    runtime().block_on(async {
        let mut sender = connect_as(h2::client::Builder::new().initial_window_size(1), &node.socket).await.unwrap();
        let mut kept = Vec::new();
        for _ in 0..CALLS {
            ready(&mut sender).await.unwrap();
            let call = http::Request::post("http://pinner/bpffs.pinner.v1.Pinner/DescribeVolume");
            let call = call.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap();
            let (answer, mut rest) = sender.send_request(call, false).unwrap();
            rest.send_data(Bytes::copy_from_slice(&request), true).unwrap();
            // The response has begun, but the window lets only one byte through.
            kept.push(answer.await.unwrap());
        }
        let held = node.memory("VmRSS") - before;
        assert!(held < MEMORY, "{held} KiB for {CALLS} answers");
        drop(kept);
    });
    // The pinner notices a moment later that the connection is closed.
    eventually(|| node.node().is_ok());
}

/// If the kernel has no descriptor for a connection, the pinner neither spins nor ends.
#[test]
fn without_descriptors_it_waits() {
    let mut node = Node::without_pinner();
    node.start_pinner(&[]);
    let used = fs::read_dir(format!("/proc/{}/fd", node.pid().as_raw_nonzero())).unwrap().count();
    node.stop_by(rustix::process::Signal::TERM);
    let few = Some(u64::try_from(used + 1).unwrap());
    let mut command = node.command(&[]);
    let limit = move || Ok(setrlimit(Resource::Nofile, Rlimit { current: few, maximum: few })?);
    // SAFETY: between fork and exec only one system call is made.
    unsafe { command.pre_exec(limit) };
    node.start_as(command);

    let pid = node.pid().as_raw_nonzero();
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let failures = || fs::read_to_string(node.log()).unwrap().matches("Too many open files").count();
    let idle: Vec<_> = (0..4).map(|_| UnixStream::connect(&node.socket).unwrap()).collect();
    eventually(|| failures() > 0);
    let (ticks_before, failures_before, start) = (ticks(), failures(), Instant::now());
    eventually(|| failures() >= failures_before + 5);
    assert!(start.elapsed() >= ACCEPT_PAUSE * 4, "{:?}", start.elapsed());
    // Clock ticks, of a hundredth of a second, that this process used.
    assert!(ticks() - ticks_before < 30, "{} ticks", ticks() - ticks_before);
    drop(idle);
    eventually(|| node.node().is_ok());
}
