//! Which publishes wait for each other: those of one pod that must not both succeed. No other one waits.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use bpffs_pinner::request::Volume;
use bpffs_pinner::sys::bpf::{self, MapDefinition};
use bpffs_pinner::tree::compose::Composer;
use bpffs_pinner::volume::Publisher;

use crate::support::map;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, pinned};

const HASH_OF_MAPS: u32 = 13;
const ROUNDS: usize = 300;

/// A volume to read and a map of maps, which must not be in one pod.
struct Pair {
    node: Node,
    publisher: Publisher,
}

impl Pair {
    fn new() -> Self {
        let node = Node::without_pinner();
        node.map("policy", 7);
        let definition =
            MapDefinition { kind: HASH_OF_MAPS, key_size: 4, value_size: 4, max_entries: 4, flags: 0, name: "outer" };
        let pattern = map::create(map::HASH, "pattern", 0);
        node.pin("outer", bpf::create_map_of_maps(definition, pattern.as_fd()).unwrap().as_fd());
        let publisher = node.publisher(Composer::new().unwrap());
        Self { node, publisher }
    }

    fn volume(&self, pod: &str, map: &str) -> Volume {
        let wanted = Wanted::new(map, &self.node.pod(pod, map));
        let source = pinned(&self.node.pins.join(map));
        let wanted = if map == "outer" { wanted.write(map, source) } else { wanted.read(map, source) };
        Volume::parse(wanted.request(), &self.publisher.kubelet).unwrap()
    }

    fn publish(&self, volume: &Volume) -> bool {
        self.publisher.publish(volume, &|| false).is_ok()
    }

    /// Calls `meanwhile` when nothing but its mount is left of a publish.
    fn publish_after(&self, volume: &Volume, meanwhile: impl Fn()) -> bool {
        const LOOKS: u32 = 3;
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            if looks.get() == LOOKS {
                meanwhile();
            }
            false
        };
        let is_published = self.publisher.publish(volume, &look).is_ok();
        assert_eq!(looks.get(), LOOKS, "how often a publish asks whether it is cancelled has changed");
        is_published
    }
}

#[test]
fn pods_do_not_wait_for_each_other() {
    let pair = &Pair::new();
    for (held, other) in [("policy", "policy"), ("policy", "outer"), ("outer", "policy")] {
        let (one, two) =
            (&pair.volume(&format!("held {held} {other}"), held), &pair.volume(&format!("{held} {other}"), other));
        let (done, is_done) = channel();
        thread::scope(|scope| {
            assert!(pair.publish_after(one, || {
                let done = done.clone();
                scope.spawn(move || done.send(pair.publish(two)).unwrap());
                assert_eq!(is_done.recv_timeout(Duration::from_secs(30)), Ok(true), "it waits for {held}");
            }));
        });
    }
}

/// Whichever comes first has looked, and is held before its mount: the other one must not overtake it.
#[test]
fn volumes_of_a_pod_do_wait() {
    let pair = &Pair::new();
    for (held, other) in [("policy", "outer"), ("outer", "policy")] {
        let (one, two) = (&pair.volume(held, held), &pair.volume(held, other));
        let (done, is_done) = channel();
        thread::scope(|scope| {
            assert!(pair.publish_after(one, || {
                let done = done.clone();
                scope.spawn(move || done.send(pair.publish(two)).unwrap());
                // As long as it likes: if it does not wait, it has succeeded by then.
                let early = is_done.recv_timeout(Duration::from_millis(500));
                assert_eq!(early, Err(RecvTimeoutError::Timeout), "it did not wait for {held}");
            }));
        });
        assert_eq!(is_done.recv(), Ok(false), "{held} and {other} are in one pod");
    }
}

#[test]
fn of_two_volumes_at_the_same_time_one_is_refused() {
    let pair = &Pair::new();
    let volumes = ["policy", "outer"].map(|map| pair.volume("pod", map));
    let mut first = [0, 0];
    for round in 0..ROUNDS {
        let start = std::sync::Barrier::new(2);
        let published = thread::scope(|scope| {
            let publish = |volume| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    pair.publish(volume)
                })
            };
            let [one, two] = [round % 2, 1 - round % 2].map(|index| (index, publish(&volumes[index])));
            let mut published = [false; 2];
            for (index, call) in [one, two] {
                published[index] = call.join().unwrap();
            }
            published
        });
        assert_eq!(published.iter().filter(|is| **is).count(), 1, "{published:?} in round {round}");
        first[usize::from(published[1])] += 1;
        for volume in &volumes {
            pair.publisher.unpublish(&volume.id, &volume.target).unwrap();
        }
    }
    // If one always came too late, nothing was tested.
    assert!(first.iter().all(|times| *times > 0), "{first:?}");
}
