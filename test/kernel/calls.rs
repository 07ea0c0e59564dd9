//! Concurrent calls, and calls whose caller has gone.

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::time::Duration;

use bpffs_pinner::api::pinner_client::PinnerClient;
use bpffs_pinner::api::pinner_server::Pinner;
use bpffs_pinner::api::publish_volume_response::Outcome;
use bpffs_pinner::error::Error;
use bpffs_pinner::probe::probe;
use bpffs_pinner::request::Volume;
use bpffs_pinner::server::Service;
use bpffs_pinner::tree::compose::Composer;
use bpffs_pinner::watchdog::Watchdog;
use rustix::process::Signal;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, created};
use crate::support::{assert_refused, mounts};

/// A service whose only kernel thread is blocked until the sender is dropped.
pub fn held_up(node: &Node) -> (Service, Runtime, Sender<()>) {
    let service = Service::new(node.publisher(Composer::new().unwrap()), probe(), Watchdog::default());
    let runtime = Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    let (release, held) = channel::<()>();
    runtime.spawn_blocking(move || held.recv());
    (service, runtime, release)
}

/// Polls a call once.
pub async fn start<F: Future + Unpin>(mut call: F) -> ControlFlow<F::Output> {
    poll_fn(|context| match Pin::new(&mut call).poll(context) {
        Poll::Ready(answer) => Poll::Ready(ControlFlow::Break(answer)),
        Poll::Pending => Poll::Ready(ControlFlow::Continue(())),
    })
    .await
}

#[test]
fn a_target_in_work_is_aborted() {
    let node = Node::without_pinner();
    let (_flows, flows) = node.map("flows", 1);
    let (service, runtime, release) = held_up(&node);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows.clone());
    let elsewhere = Wanted::new("elsewhere", &node.target("elsewhere")).read("flows", flows);
    let unpublish = || bpffs_pinner::api::UnpublishVolumeRequest {
        volume_id: "volume".to_owned(),
        target_path: wanted.0.target_path.clone(),
    };
    runtime.block_on(async {
        let mut first = pin!(service.publish_volume(Request::new(wanted.request())));
        assert!(start(first.as_mut()).await.is_continue());

        let ControlFlow::Break(second) = start(service.publish_volume(Request::new(wanted.request()))).await else {
            panic!("a second publish waits");
        };
        assert_refused(second, Code::Aborted, &["another call works on", &wanted.0.target_path]);
        let ControlFlow::Break(third) = start(service.unpublish_volume(Request::new(unpublish()))).await else {
            panic!("an unpublish waits");
        };
        assert_refused(third, Code::Aborted, &["another call works on", &wanted.0.target_path]);
        let mut other = pin!(service.publish_volume(Request::new(elsewhere.request())));
        assert!(start(other.as_mut()).await.is_continue());

        drop(release);
        assert_eq!(first.await.unwrap().into_inner().outcome(), Outcome::Created);
        assert_eq!(other.await.unwrap().into_inner().outcome(), Outcome::Created);
        let again = service.publish_volume(Request::new(wanted.request())).await;
        assert_eq!(again.unwrap().into_inner().outcome(), Outcome::Unchanged);
        service.unpublish_volume(Request::new(unpublish())).await.unwrap();
    });
    assert!(!wanted.target().exists());
}

#[test]
fn a_call_that_is_given_up_attaches_nothing() {
    let node = Node::without_pinner();
    let (service, runtime, release) = held_up(&node);
    let wanted = Wanted::new("volume", &node.target("pod")).write("kept", created("kept", "hash"));
    runtime.block_on(async {
        let mut call = Box::pin(service.publish_volume(Request::new(wanted.request())));
        assert!(start(call.as_mut()).await.is_continue());
        drop(call);
        drop(release);
    });
    // Waits until the thread has dealt with the dropped call.
    runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();

    assert!(!wanted.target().exists());
    assert!(!node.created("kept").exists());
    let again = runtime.block_on(service.publish_volume(Request::new(wanted.request())));
    assert_eq!(again.unwrap().into_inner().outcome(), Outcome::Created);
}

#[test]
fn cancellation_is_looked_at_before_each_step() {
    let node = Node::without_pinner();
    let (_flows, flows) = node.map("flows", 1);
    let publisher = node.publisher(Composer::new().unwrap());
    let wanted = Wanted::new("volume", &node.target("pod")).write("flows", flows);
    let volume = || Volume::parse(wanted.request(), &publisher.kubelet).unwrap();
    let looks = std::cell::Cell::new(0);
    let cancelled_at = |look| {
        looks.set(0);
        move |looks: &std::cell::Cell<u32>| looks.replace(looks.get() + 1) == look
    };
    let before = mounts::snapshot(&node.kubelet);
    let never = cancelled_at(u32::MAX);
    publisher.publish(&volume(), &|| never(&looks)).unwrap();
    let steps = looks.get();
    assert!(steps >= 3, "{steps} looks: before resolving, building and attaching");
    publisher.unpublish("volume", &volume().target).unwrap();

    for step in 0..steps {
        let cancelled = cancelled_at(step);
        let outcome = publisher.publish(&volume(), &|| cancelled(&looks));
        assert!(matches!(outcome, Err(Error::Cancelled)), "at look {step}: {outcome:?}");
        assert_eq!(mounts::snapshot(&node.kubelet), before, "at look {step}");
    }
}

#[test]
fn calls_that_race_for_a_target_leave_one_volume_or_none() {
    const CALLERS: usize = 4;
    let node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let target = node.target("pod");
    let wanted = &(0..16).fold(Wanted::new("volume", &target), |wanted, n| wanted.write(&n.to_string(), flows.clone()));
    let mut aborted = 0;
    for _ in 0..50 {
        let answers = node.run(|pinner| async move {
            let call = |mut pinner: PinnerClient<Channel>, request| async move { pinner.publish_volume(request).await };
            let calls: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(call(pinner.clone(), wanted.request()))).collect();
            let mut answers = Vec::new();
            for call in calls {
                answers.push(call.await.unwrap().map(|answer| answer.into_inner().outcome()));
            }
            answers
        });
        let created = answers.iter().filter(|answer| matches!(answer, Ok(Outcome::Created))).count();
        assert_eq!(created, 1, "{answers:?}");
        for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(status.code(), Code::Aborted, "{status:?}");
            aborted += 1;
        }
        assert_eq!(mounts::at(&target).len(), 1);
        assert_eq!(names(&target).len(), 16);
        node.unpublish("volume", &target).unwrap();
        assert_eq!(mounts::beneath(&node.kubelet), []);
    }
    assert!(aborted > 0, "no two of these calls met");
}

/// The deadline passes while the pinner is stopped; it learns of both at once when it continues.
#[test]
fn a_deadline_that_passed_ends_the_call() {
    let node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows);
    node.node().unwrap();
    node.signal(Signal::STOP);
    let mut request = Request::new(wanted.request());
    request.set_timeout(Duration::from_millis(50));
    let answer = node.run(|mut pinner| async move { pinner.publish_volume(request).await });
    node.signal(Signal::CONT);
    let code = answer.unwrap_err().code();
    assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{code:?}");
    // The stop may have come before its last step or after; the next call finds a complete volume or none.
    while node.publish(&wanted).is_err_and(|status| status.code() == Code::Aborted) {}
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);
    assert_eq!(mounts::at(&wanted.target()).len(), 1);
}

/// The pinner honours a short deadline, whatever the client does.
#[test]
fn deadlines_of_all_lengths_leave_a_whole_volume_or_none() {
    let node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let target = node.target("pod");
    let wanted = (0..32).fold(Wanted::new("volume", &target), |wanted, n| wanted.write(&n.to_string(), flows.clone()));
    for micros in (50..4000).step_by(150) {
        let mut request = Request::new(wanted.request());
        request.set_timeout(Duration::from_micros(micros));
        let answer = node.run(|mut pinner| async move { pinner.publish_volume(request).await });
        if let Err(status) = &answer {
            let code = status.code();
            assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{status:?}");
        }
        let complete = || mounts::at(&target).len() == 1 && names(&target).len() == 32;
        assert!(answer.is_err() || complete(), "{answer:?}");
        // An earlier call may still be in its last step.
        while node.unpublish("volume", &target).is_err_and(|status| status.code() == Code::Aborted) {}
        assert_eq!(mounts::beneath(&node.kubelet), []);
    }
}
