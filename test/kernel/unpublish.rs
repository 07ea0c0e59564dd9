//! Removing a volume.

use std::fs::{self, File};
use std::os::fd::AsFd;

use tonic::Code;

use crate::carriers::is_held;
use crate::support::node::Node;
use crate::support::wanted::Wanted;
use crate::support::{assert_refused, both_ways, map, mounts};

fn nothing_is_left(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let (_limits, limits) = node.map("limits", 1);
    let target = node.target("pod");
    let before = mounts::snapshot(&node.kubelet);
    for in_user_namespace in [false, true] {
        let wanted = Wanted::new("volume", &target).read("flows", flows.clone()).write("limits", limits.clone());
        let wanted = if in_user_namespace { wanted.in_user_namespace() } else { wanted };
        node.publish(&wanted).unwrap();
        node.unpublish("volume", &target).unwrap();
        assert_eq!(mounts::snapshot(&node.kubelet), before);
    }
}

fn what_is_gone_already_is_success(node: &Node) {
    let target = node.target("pod");
    node.unpublish("volume", &target).unwrap();
    fs::create_dir(&target).unwrap();
    node.unpublish("volume", &target).unwrap();
    assert!(!target.exists());
    node.unpublish("volume", &node.kubelet.join("pods/gone/volumes/kubernetes.io~csi/volume/mount")).unwrap();
}

fn another_volume_is_left_alone(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows);
    let target = wanted.target();
    for wanted in [&wanted, &Wanted(wanted.request()).in_user_namespace()] {
        node.publish(wanted).unwrap();
        let before = mounts::snapshot(&node.kubelet);

        let answer = node.unpublish("other", &target);

        assert_refused(answer, Code::FailedPrecondition, &[target.to_str().unwrap(), "another volume, "]);
        assert_eq!(mounts::snapshot(&node.kubelet), before);
        node.unpublish("volume", &target).unwrap();
    }
}

fn a_volume_in_use_goes_too(node: &Node) {
    let (_limits, limits) = node.map("limits", 1);
    let target = node.target("pod");
    let wanted = Wanted::new("volume", &target).write("limits", limits);
    node.publish(&wanted).unwrap();
    let view = node.root.join("view");
    mounts::container_view(&target, &view);
    let directory = File::open(&target).unwrap();
    let held = map::open_writable(&target.join("limits")).unwrap();
    let mut inside = std::process::Command::new("sleep");
    let inside = inside.arg("60").current_dir(&target).spawn();

    let answer = node.unpublish("volume", &target);

    if let Ok(mut inside) = inside {
        inside.kill().unwrap();
        inside.wait().unwrap();
    }
    answer.unwrap();
    assert!(!target.exists());
    assert_eq!(mounts::beneath(&node.kubelet), []);
    map::update(held.as_fd(), 1, 2).unwrap();
    assert!(view.join("limits").exists());
    drop(directory);
}

/// A volume's maps and mounts go with it, if a moment later.
fn maps_are_not_held(node: &Node) {
    let mut ids = Vec::new();
    for pod in ["plain", "writable", "user"] {
        let (map, source) = node.map(pod, 1);
        let wanted = Wanted::new(pod, &node.target(pod));
        let wanted = if pod == "plain" { wanted.read(pod, source) } else { wanted.write(pod, source) };
        node.publish(&if pod == "user" { wanted.in_user_namespace() } else { wanted }).unwrap();
        fs::remove_file(node.pins.join(pod)).unwrap();
        ids.push(map::id(map.as_fd()));
    }
    for (pod, id) in ["plain", "writable", "user"].into_iter().zip(ids) {
        assert!(bpffs_pinner::sys::bpf::map_by_id(id).unwrap().is_some(), "{pod}");
        node.unpublish(pod, &node.target(pod)).unwrap();
        assert!(!is_held(id), "{pod}");
    }
}

both_ways!(
    maps_are_not_held,
    nothing_is_left,
    what_is_gone_already_is_success,
    another_volume_is_left_alone,
    a_volume_in_use_goes_too
);
