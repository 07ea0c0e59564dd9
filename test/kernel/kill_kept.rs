//! SIGKILL at any moment while something of a persistent volume is created or released: the next call completes it or
//! releases it.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use crate::isolation::names;
use crate::kill::{delay, kill_while};
use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace, created_for};
use crate::support::{map, mounts};

const ROUNDS: u32 = 60;

struct Volumes {
    workspace: Workspace,
    view: Workspace,
    maps: Wanted,
}

impl Volumes {
    fn new(node: &Node) -> Self {
        let maps = Wanted::new("maps", &node.pod("pod", "maps"));
        let maps = (0..4).fold(maps, |maps, number| {
            let name = format!("map{number}");
            maps.write(&name, created_for("maps", &name, "hash"))
        });
        Self {
            workspace: Workspace::new("pv", &node.pod("pod", "pv")),
            view: Workspace::new("pv", &node.pod("reader", "pv")).read_only(),
            maps,
        }
    }

    /// Creates and releases everything.
    fn once(&self, node: &Node) -> bool {
        self.publish(node) && self.unpublish(node) && ["pv", "maps"].iter().all(|id| node.release(id).is_ok())
    }

    fn publish(&self, node: &Node) -> bool {
        let pin = self.workspace.target().join("flows");
        node.publish_workspace(&self.workspace).is_ok()
            && (pin.exists() || map::pin(map::hash("flows", 7).as_fd(), &pin).is_ok())
            && node.publish_workspace(&self.view).is_ok()
            && node.publish(&self.maps).is_ok()
    }

    fn unpublish(&self, node: &Node) -> bool {
        let targets = [("pv", self.workspace.target()), ("pv", self.view.target()), ("maps", self.maps.target())];
        targets.iter().all(|(id, target)| node.unpublish(id, target).is_ok())
    }

    /// Checks that whatever is there is complete.
    fn check(&self, node: &Node) -> [bool; 3] {
        let kept = node.kept_at("pv");
        let is_kept = !mounts::at(&kept).is_empty();
        if is_kept {
            assert_eq!(mounts::beneath(&kept).len(), 1);
        }
        let is_published = !mounts::at(&self.workspace.target()).is_empty();
        if is_published {
            assert_eq!(mounts::beneath(&self.workspace.target()).len(), 1);
            let mode = fs::metadata(self.workspace.target()).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o1777);
        }
        for view in mounts::at(&self.view.target()) {
            assert!(view.super_options.split(',').any(|option| option == "ro"), "{view:?}");
        }
        let has_maps = !mounts::at(&self.maps.target()).is_empty();
        if has_maps {
            assert_eq!(names(&self.maps.target()).len(), 4);
        }
        [is_kept, is_published, has_maps]
    }
}

#[test]
fn killed_at_any_point_what_is_left_is_completed_or_released() {
    let mut node = Node::start();
    let volumes = Volumes::new(&node);
    assert!(volumes.once(&node));
    let start = Instant::now();
    assert!(volumes.once(&node));
    let duration = start.elapsed();
    let (mut seen, mut empty_directories) = ([[0; 2]; 3], 0);
    for round in 0..ROUNDS {
        kill_while(&mut node, delay(round, duration), |node| volumes.once(node));
        for (seen, is_there) in seen.iter_mut().zip(volumes.check(&node)) {
            seen[usize::from(is_there)] += 1;
        }
        empty_directories += ["pv", "maps"]
            .iter()
            .filter(|id| {
                mounts::at(&node.kept_at(id)).is_empty()
                    && fs::read_dir(node.kept_at(id)).is_ok_and(|mut all| all.next().is_none())
            })
            .count();

        node.start_pinner(&[]);
        if round % 2 == 0 {
            assert!(volumes.publish(&node));
            assert_eq!(volumes.check(&node), [true; 3]);
            assert_eq!(mounts::at(&node.kept_at("pv")).len(), 1);
            assert_eq!(map::open_read_only(&volumes.view.target().join("flows")).map(drop), Ok(()));
            assert_eq!(node.kept(), ["maps", "pv"]);
        }
        assert!(volumes.unpublish(&node));
        for id in ["pv", "maps"] {
            node.release(id).unwrap();
        }
        assert_eq!(node.kept(), [] as [&str; 0]);
        assert_eq!(mounts::beneath(&node.kubelet), []);
        assert_eq!(mounts::beneath(&node.store).len(), 1);
    }
    // If one was never seen both present and absent, nothing was tested.
    assert!(seen.iter().flatten().all(|times| *times > 0), "{seen:?}, {empty_directories} empty directories");
}
