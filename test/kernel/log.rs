//! The log never delays a call, and every call has a line.

use std::io::{self, BufRead, BufReader, Write, pipe};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Mutex, Once};

use bpffs_pinner::api::pinner_server::Pinner;
use bpffs_pinner::api::{GetNodeResponse, PublishVolumeRequest, UnpublishVolumeRequest};
use rustix::process::Signal;
use tonic::codegen::Bytes;
use tonic::{Code, Request};

use crate::calls::{held_up, start};
use crate::limits::{begin_within, connect, framed, ready};
use crate::support::node::Node;
use crate::support::wanted::Wanted;
use crate::support::{eventually, unique};

/// More lines than fit a pipe and the pinner's queue.
const CALLS: usize = 2000;

fn with_stderr(stderr: OwnedFd) -> Node {
    let mut node = Node::without_pinner();
    let mut command = node.command(&[]);
    command.stderr(stderr);
    node.start_as(command);
    node
}

fn call_often(node: &Node) {
    for _ in 0..CALLS {
        node.release("nothing").unwrap();
    }
}

fn dropped(node: &Node) -> usize {
    let GetNodeResponse { dropped_log_lines, .. } = node.node().unwrap();
    usize::try_from(dropped_log_lines).unwrap()
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_call() {
    let (reader, writer) = pipe().unwrap();
    let mut node = with_stderr(writer.into());
    call_often(&node);
    let lost = dropped(&node);
    assert!(lost > 0, "more lines were kept than there is room for");

    // A new reader learns what was lost.
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let told = |line: &String| Some(line.split_once("\"dropped\":")?.1.strip_suffix('}')?.parse::<usize>().unwrap());
    assert!(lines.by_ref().filter_map(|line| told(&line)).any(|told| told >= lost));
    assert!(node.stop_by(Signal::TERM).success());
    drop(lines);
}

#[test]
fn each_line_is_written_or_counted() {
    let (reader, writer) = pipe().unwrap();
    let mut node = with_stderr(writer.into());
    call_often(&node);
    let lost = dropped(&node);
    let lines = std::thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    assert!(node.stop_by(Signal::TERM).success());
    let lines = lines.join().unwrap();
    let calls = lines.iter().filter(|line| line.contains("\"method\":\"ReleaseVolume\"")).count();
    // A line about lost lines may follow each written line, and may be lost itself.
    assert!((CALLS..=CALLS + lines.len()).contains(&(calls + lost)), "{calls} written, {lost} lost");
}

#[test]
fn a_log_whose_reader_has_gone_ends_nothing() {
    let (reader, writer) = pipe().unwrap();
    let mut node = with_stderr(writer.into());
    drop(reader);
    call_often(&node);
    assert!(dropped(&node) >= CALLS - 256);
    assert!(node.stop_by(Signal::TERM).success());
}

/// Everything that this process has logged since `capture`.
static CAPTURED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Captured;

impl Write for Captured {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        CAPTURED.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For all threads: a call is logged by the thread that works for it.
fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().json().flatten_event(true).with_writer(|| Captured).init());
}

fn lines_of(volume_id: &str) -> Vec<String> {
    let text = String::from_utf8(CAPTURED.lock().unwrap().clone()).unwrap();
    text.lines().filter(|line| line.contains(&format!("\"volumeId\":\"{volume_id}\""))).map(str::to_owned).collect()
}

#[track_caller]
fn assert_line(volume_id: &str, parts: &[&str]) {
    let lines = lines_of(volume_id);
    let [line] = &lines[..] else { panic!("one line of {volume_id}: {lines:#?}") };
    for part in parts {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn a_call_that_was_given_up_has_its_line() {
    capture();
    let node = Node::without_pinner();
    let (_flows, flows) = node.map("flows", 1);
    let (service, runtime, release) = held_up(&node);
    let (early, late) = (unique("early"), unique("late"));
    let wanted = Wanted::new(&early, &node.target("early")).read("flows", flows.clone()).write("limits", flows);
    let publish = || service.publish_volume(Request::new(wanted.request()));
    let unpublish = UnpublishVolumeRequest {
        volume_id: late.clone(),
        target_path: node.target("late").to_str().unwrap().to_owned(),
    };
    runtime.block_on(async {
        let mut published = pin!(publish());
        assert!(start(published.as_mut()).await.is_continue());
        let mut unpublished = Box::pin(service.unpublish_volume(Request::new(unpublish)));
        assert!(start(unpublished.as_mut()).await.is_continue());
        drop(unpublished);
        drop(release);
        published.await.unwrap();
    });
    runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();

    let maps = "\"maps\":\"flows, limits:rw\"";
    assert_line(
        &early,
        &["PublishVolume", "\"code\":\"OK\"", maps, "\"outcome\":\"CREATED\"", "durationMs", "/early/"],
    );
    assert!(!lines_of(&early)[0].contains("callerGone"));
    // The caller did not learn that it was done, but the log says so.
    assert_line(&late, &["UnpublishVolume", "\"code\":\"OK\"", "\"callerGone\":true"]);
}

#[test]
fn a_call_that_ends_before_it_is_worked_on_has_its_line() {
    capture();
    let node = Node::without_pinner();
    let (_flows, flows) = node.map("flows", 1);
    let (service, runtime, release) = held_up(&node);
    let (given_up, refused) = (unique("given_up"), unique("refused"));
    let wanted = Wanted::new(&given_up, &node.target("pod")).read("flows", flows);
    runtime.block_on(async {
        let mut call = Box::pin(service.publish_volume(Request::new(wanted.request())));
        assert!(start(call.as_mut()).await.is_continue());
        drop(call);
        let same = Wanted(PublishVolumeRequest { volume_id: refused.clone(), ..wanted.request() });
        let answer = service.publish_volume(Request::new(same.request())).await;
        assert_eq!(answer.unwrap_err().code(), Code::Aborted);
        drop(release);
    });
    runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();

    assert_line(&given_up, &["\"code\":\"CANCELLED\"", "\"callerGone\":true", "nothing was attached"]);
    assert_line(&refused, &["\"code\":\"ABORTED\"", "another call works on"]);
}

#[test]
fn what_changes_nothing_has_no_line_at_level_info() {
    let node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let target = node.target("pod");
    let wanted = Wanted::new("volume", &target).read("flows", flows);
    for _ in 0..3 {
        node.publish(&wanted).unwrap();
        node.stats("volume", &target).unwrap();
        node.list();
    }
    node.unpublish("volume", &target).unwrap();
    let text = || std::fs::read_to_string(node.log()).unwrap();
    eventually(|| text().contains("UnpublishVolume"));
    let calls: Vec<_> =
        text().lines().filter_map(|line| Some(line.split_once("\"method\":\"")?.1.to_owned())).collect();
    let methods: Vec<_> = calls.iter().map(|call| call.split('"').next().unwrap()).collect();
    assert_eq!(methods, ["PublishVolume", "UnpublishVolume"]);
}

/// Calls that never reach the service have a line too. This takes the real pinner, because its guard logs them.
#[test]
fn every_call_of_a_client_has_its_line() {
    const ROUNDS: usize = 60;
    let node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    // Each is a new volume: what finds its volume unchanged is logged at level debug.
    let wanted = |round: usize| {
        let target = node.target(&format!("pod{round}"));
        framed(&Wanted::new("volume", &target).read("flows", flows.clone()).request())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut pinner = connect(&node.socket).await;
        for round in 0..ROUNDS {
            ready(&mut pinner).await.unwrap();
            let timeout = format!("{}u", 50 * round);
            let (answer, mut rest) = begin_within(&timeout, &mut pinner, &wanted(round)).unwrap();
            rest.send_data(Bytes::new(), true).unwrap();
            answer.await.unwrap();
        }
    });
    let lines = || {
        let text = std::fs::read_to_string(node.log()).unwrap();
        text.lines().filter(|line| line.contains("\"method\":\"PublishVolume\"")).count()
    };
    eventually(|| lines() >= ROUNDS);
    assert_eq!(lines(), ROUNDS);
}
