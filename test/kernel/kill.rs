//! SIGKILL at any moment: a volume is complete or absent, and the next try completes it.

use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, created};
use crate::support::{map, mounts};

const ROUNDS: u32 = 100;
const FILES: usize = 8;

/// Every second file is writable; one more map is created by the pinner.
fn volume(node: &Node, name: &str, sources: &[bpffs_pinner::api::Source]) -> Wanted {
    let wanted = Wanted::new(name, &node.target(name)).write("kept", created("kept", "hash"));
    sources.iter().enumerate().fold(wanted, |wanted, (number, source)| {
        let file = format!("map{number}");
        if number % 2 == 0 { wanted.read(&file, source.clone()) } else { wanted.write(&file, source.clone()) }
    })
}

/// Complete: mounted once, with all its files, each with its access. Absent: not mounted.
#[track_caller]
fn assert_complete_or_absent(target: &Path) -> bool {
    let generations = mounts::at(target).len();
    if generations == 0 {
        assert_eq!(mounts::beneath(target), []);
        assert!(!target.exists() || names(target).is_empty());
        return false;
    }
    assert_eq!(generations, 1);
    assert_eq!(names(target).len(), FILES + 1);
    for number in 0..FILES {
        let pin = target.join(format!("map{number}"));
        assert_eq!(map::open_writable(&pin).is_ok(), number % 2 == 1);
        map::open_read_only(&pin).unwrap();
    }
    true
}

/// Repeats `work` until it fails, with the pinner killed after `delay`; then cleans up the process.
pub fn kill_while(node: &mut Node, delay: Duration, mut work: impl FnMut(&Node) -> bool) {
    let pid = node.pid();
    let killer = thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < delay {
            thread::yield_now();
        }
        kill_process(pid, Signal::KILL).unwrap();
    });
    while work(node) {}
    killer.join().unwrap();
    node.stop_by(Signal::KILL);
}

/// Spread over three times the duration of the work. Not random, so that failures are reproducible.
pub fn delay(round: u32, work: Duration) -> Duration {
    work * 3 * (round * 37 % ROUNDS) / ROUNDS
}

fn pair(node: &Node, wanted: &Wanted) -> bool {
    node.publish(wanted).is_ok() && node.unpublish(&wanted.0.volume_id, &wanted.target()).is_ok()
}

#[test]
fn killed_at_any_point_every_volume_is_complete_or_absent() {
    let mut node = Node::start();
    let maps: Vec<_> = (0..FILES).map(|number| node.map(&format!("map{number}"), 1)).collect();
    let sources: Vec<_> = maps.iter().map(|(_, source)| source.clone()).collect();
    let volumes = ["one", "two"].map(|name| volume(&node, name, &sources));
    assert!(volumes.iter().all(|wanted| pair(&node, wanted)));
    let start = Instant::now();
    assert!(volumes.iter().all(|wanted| pair(&node, wanted)));
    let duration = start.elapsed();
    let (mut complete, mut absent) = (0, 0);
    for round in 0..ROUNDS {
        kill_while(&mut node, delay(round, duration), |node| volumes.iter().all(|wanted| pair(node, wanted)));
        for wanted in &volumes {
            let counter = if assert_complete_or_absent(&wanted.target()) { &mut complete } else { &mut absent };
            *counter += 1;
        }

        node.start_pinner(&[]);
        for wanted in &volumes {
            node.publish(wanted).unwrap();
            assert!(assert_complete_or_absent(&wanted.target()));
            node.unpublish(&wanted.0.volume_id, &wanted.target()).unwrap();
        }
        assert_eq!(mounts::beneath(&node.kubelet), []);
    }
    // If one was never seen, nothing was tested.
    assert!(complete > 0 && absent > 0, "{complete} complete, {absent} absent");
    assert_eq!(mounts::at(&node.store).len(), 1);
}

#[test]
fn killed_while_generations_are_swapped_the_old_or_the_new_one_is_there() {
    let mut node = Node::start();
    let (_flows, flows) = node.map("flows", 0);
    let (_limits, limits) = node.map("limits", 0);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows).write("limits", limits);
    let target = wanted.target();
    let pin = node.pins.join("flows");
    let value = || map::lookup(map::open_read_only(&target.join("flows")).unwrap().as_fd(), 1).unwrap();
    // Without it the second generation is unmounted before the next is there, and a kill can leave the first.
    let first = if node.has("mount-beneath", "a kill between two generations") { None } else { Some(0) };
    let mut latest = 0;
    let mut swap = |node: &Node| {
        latest += 1;
        std::fs::remove_file(&pin).unwrap();
        map::pin(map::hash("flows", latest).as_fd(), &pin).unwrap();
        (latest, node.publish(&wanted))
    };
    let start = Instant::now();
    node.publish(&wanted).unwrap();
    let duration = start.elapsed();
    for round in 0..ROUNDS / 2 {
        let mut wanted_value = value();
        kill_while(&mut node, delay(round * 2, duration), |node| {
            let (value, outcome) = swap(node);
            wanted_value = value;
            outcome.is_ok()
        });
        assert_eq!(names(&target).len(), 2);
        let there = value();
        let known = [Some(wanted_value), Some(wanted_value - 1), first];
        assert!(known.contains(&Some(there)), "{there} for {wanted_value}");
        assert!(map::open_writable(&target.join("limits")).is_ok());
        assert!(map::open_writable(&target.join("flows")).is_err());

        node.start_pinner(&[]);
        node.publish(&wanted).unwrap();
        assert_eq!(value(), wanted_value);
    }
    node.unpublish("volume", &target).unwrap();
    assert_eq!(mounts::beneath(&node.kubelet), []);
    assert!(!target.exists());
}
