//! What the pinner reports of a volume.

use std::fs;
use std::os::fd::AsFd;

use bpffs_pinner::api::{Access, DescribeVolumeResponse, VolumeKind};
use tonic::Code;

use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace, pinned};
use crate::support::{assert_refused, both_ways, map, program};

/// Path, access and id of each map, sorted by path.
fn files(described: &DescribeVolumeResponse) -> Vec<(&str, Access, u32)> {
    let mut files: Vec<_> =
        described.files.iter().map(|file| (file.path.as_str(), file.access(), file.map.as_ref().unwrap().id)).collect();
    files.sort_by_key(|(path, ..)| *path);
    files
}

fn a_volume_is_described(node: &Node) {
    let (flows, flows_source) = node.map("flows", 1);
    let (limits, limits_source) = node.map("limits", 2);
    for in_user_namespace in [false, true] {
        let wanted = Wanted::new("volume", &node.pod("pod", "maps"))
            .read("flows", flows_source.clone())
            .write("limits", limits_source.clone());
        let wanted = if in_user_namespace { wanted.in_user_namespace() } else { wanted };
        node.publish(&wanted).unwrap();

        let described = node.describe_volume("volume", &wanted.target()).unwrap();

        assert!(!described.workspace);
        assert_eq!(described.generations, 1);
        let expected = [
            ("flows", Access::ReadOnly, map::id(flows.as_fd())),
            ("limits", Access::ReadWrite, map::id(limits.as_fd())),
        ];
        assert_eq!(files(&described), expected);
        assert_eq!(
            described.files[0].map,
            Some(node.describe(pinned(&node.pins.join(&described.files[0].path))).unwrap())
        );
        node.unpublish("volume", &wanted.target()).unwrap();
    }
}

fn a_publish_tells_what_it_mounted(node: &Node) {
    let (flows, flows_source) = node.map("flows", 1);
    let (limits, limits_source) = node.map("limits", 2);
    let told = |wanted: &Wanted| -> Vec<(String, u32, Access)> {
        let maps = node.publish_whole(wanted).unwrap().maps;
        maps.into_iter().map(|map| (map.name.clone(), map.map_id, map.access())).collect()
    };
    let flows = |access| ("flows".to_owned(), map::id(flows.as_fd()), access);
    let limits = ("limits".to_owned(), map::id(limits.as_fd()), Access::ReadWrite);
    let target = node.pod("pod", "maps");
    let asked =
        || Wanted::new("volume", &target).read("flows", flows_source.clone()).write("limits", limits_source.clone());
    assert_eq!(told(&asked()), [flows(Access::ReadOnly), limits]);
    assert_eq!(told(&asked().renew()), []);
    // Without a source it stays as it is mounted, which is told too.
    let narrowed = Wanted::new("volume", &target).map("flows", Access::ReadWrite, None).renew();
    assert_eq!(told(&narrowed), [flows(Access::ReadOnly)]);
    node.unpublish("volume", &target).unwrap();
}

fn generations_are_counted(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.pod("pod", "maps")).read("flows", flows);
    node.publish(&wanted).unwrap();
    for round in 1..4 {
        fs::remove_file(node.pins.join("flows")).unwrap();
        let (flows, _) = node.map("flows", round);
        node.publish(&wanted).unwrap();
        let described = node.describe_volume("volume", &wanted.target()).unwrap();
        assert_eq!(described.generations, 2);
        assert_eq!(files(&described), [("flows", Access::ReadOnly, map::id(flows.as_fd()))]);
    }
    node.unpublish("volume", &wanted.target()).unwrap();
    node.publish(&wanted).unwrap();
    assert_eq!(node.describe_volume("volume", &wanted.target()).unwrap().generations, 1);
}

fn a_workspace_is_described(node: &Node) {
    let wanted = Workspace::new("pv", &node.pod("pod", "pv"));
    node.publish_workspace(&wanted).unwrap();
    assert_eq!(
        node.describe_volume("pv", &wanted.target()).unwrap(),
        DescribeVolumeResponse {
            workspace: true,
            generations: 1,
            kind: VolumeKind::Workspace.into(),
            ..DescribeVolumeResponse::default()
        }
    );
    let (flows, jumps) = (map::hash("flows", 1), map::create(map::PROG_ARRAY, "jumps", 0));
    fs::create_dir(wanted.target().join("agent")).unwrap();
    map::pin(flows.as_fd(), &wanted.target().join("agent/flows")).unwrap();
    map::pin(jumps.as_fd(), &wanted.target().join("jumps")).unwrap();
    map::pin(program::idle("idle").as_fd(), &wanted.target().join("program")).unwrap();

    let described = node.describe_volume("pv", &wanted.target()).unwrap();

    assert!(described.workspace);
    let expected = [
        ("agent/flows", Access::ReadWrite, map::id(flows.as_fd())),
        ("jumps", Access::ReadWrite, map::id(jumps.as_fd())),
    ];
    assert_eq!(files(&described), expected);
    assert_eq!(described.generations, 1);
}

fn an_answer_has_a_bound(node: &Node) {
    let wanted = Workspace::new("pv", &node.pod("pod", "pv"));
    node.publish_workspace(&wanted).unwrap();
    let flows = map::hash("flows", 1);
    for number in 0..1100 {
        map::pin(flows.as_fd(), &wanted.target().join(format!("map{number}"))).unwrap();
    }
    let described = node.describe_volume("pv", &wanted.target()).unwrap();
    assert_eq!((described.files.len(), described.left_out), (1024, 76));
    assert_eq!(node.stats("pv", &wanted.target()).unwrap().maps, 1100);
}

fn what_is_not_there(node: &Node) {
    let target = node.pod("pod", "maps");
    let absent = "volume volume is not published at";
    assert_refused(node.describe_volume("volume", &target), Code::NotFound, &[absent, target.to_str().unwrap()]);
    fs::create_dir(&target).unwrap();
    assert_refused(node.describe_volume("volume", &target), Code::NotFound, &[absent]);
    crate::support::mounts::bpffs(&target);
    assert_refused(node.describe_volume("volume", &target), Code::NotFound, &[absent]);
    assert_refused(
        node.describe_volume("volume", &node.kubelet.join("pods/gone/volumes/kubernetes.io~csi/maps/mount")),
        Code::NotFound,
        &[absent],
    );
    assert_refused(node.describe_volume("", &target), Code::InvalidArgument, &["volume_id: "]);
    assert_refused(node.describe_volume("volume", &node.root), Code::InvalidArgument, &["target_path: "]);
}

both_ways!(
    a_volume_is_described,
    a_publish_tells_what_it_mounted,
    generations_are_counted,
    a_workspace_is_described,
    an_answer_has_a_bound,
    what_is_not_there,
);
