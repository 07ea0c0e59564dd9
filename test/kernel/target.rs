//! Targets, names and requests that are refused, and what is there stays as it was.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bpffs_pinner::api::Access;
use bpffs_pinner::api::publish_volume_response::Outcome;
use bpffs_pinner::sys::mount;
use tonic::Code;

use crate::support::node::Node;
use crate::support::wanted::Wanted;
use crate::support::{assert_refused, both_ways, mounts};

/// Tries to publish and to unpublish at `target`, unchanged, and checks that nothing has changed.
fn assert_untouched(node: &Node, what: &str, target: &str, publish: (Code, &str), unpublish: Option<(Code, &str)>) {
    let (_flows, flows) = node.map(&what.replace([' ', '.', '/'], "_"), 1);
    let before = mounts::snapshot(&node.kubelet);
    let wanted = Wanted::new("volume", Path::new(target)).read("flows", flows);
    assert_refused(node.publish(&wanted), publish.0, &[publish.1]);
    let answer = node.unpublish("volume", Path::new(target));
    match unpublish {
        Some((code, part)) => assert_refused(answer, code, &[part]),
        None => assert!(answer.is_ok(), "{what}: {answer:?}"),
    }
    assert_eq!(mounts::snapshot(&node.kubelet), before, "{what}");
}

fn a_path_that_leads_elsewhere(node: &Node) {
    const INVALID: Code = Code::InvalidArgument;
    let kubelet = node.kubelet.to_str().unwrap();
    let pods = format!("{kubelet}/pods");
    let volumes = |pod: &str| format!("{pods}/{pod}/volumes/kubernetes.io~csi");
    let outside = node.root.join("outside");
    fs::create_dir_all(outside.join("pods/pod/volumes/kubernetes.io~csi/maps")).unwrap();
    fs::create_dir_all(node.pod("pod", "maps").parent().unwrap()).unwrap();
    fs::create_dir_all(format!("{pods}/pod/volumes/kubernetes.io~empty-dir/maps")).unwrap();
    fs::write(format!("{}/file", volumes("pod")), "content").unwrap();
    symlink(outside.join("pods/pod"), format!("{pods}/out")).unwrap();
    symlink("maps", format!("{}/in", volumes("pod"))).unwrap();
    symlink("nowhere", format!("{}/dangling", volumes("pod"))).unwrap();

    let outside = outside.join("pods/pod/volumes/kubernetes.io~csi/maps/mount").to_str().unwrap().to_owned();
    let not_there = "/pods/<pod>/volumes/kubernetes.io~csi/<volume>/mount";
    let maps = format!("{}/maps", volumes("pod"));
    for (what, target, part) in [
        ("outside", outside, "is not beneath the kubelet's directory"),
        ("a namesake", format!("{kubelet}2/pods/pod/volumes/kubernetes.io~csi/maps/mount"), "is not beneath the"),
        ("the directory", kubelet.to_owned(), "is not beneath the kubelet's directory"),
        ("of a volume", maps.clone(), not_there),
        ("another name", format!("{maps}/mount2"), not_there),
        ("deeper", format!("{maps}/mount/mount"), not_there),
        ("another kind", format!("{pods}/pod/volumes/kubernetes.io~empty-dir/maps/mount"), not_there),
        ("of a plugin", format!("{kubelet}/plugins/pod/volumes/kubernetes.io~csi/maps/mount"), not_there),
        ("of a pod", format!("{pods}/pod/mount"), not_there),
        ("dots", format!("{kubelet}/../outside/pod/mount"), "\"..\""),
        ("dots back", format!("{maps}/../maps/mount"), "\"..\""),
        ("dots last", format!("{maps}/.."), "\"..\""),
        ("a dot", format!("{kubelet}/./pods/pod/volumes/kubernetes.io~csi/maps/mount"), "\".\""),
        ("two slashes", format!("{kubelet}//pods/pod/volumes/kubernetes.io~csi/maps/mount"), "empty elements"),
        ("a slash last", format!("{maps}/mount/"), "empty elements"),
        ("relative", "pods/pod/volumes/kubernetes.io~csi/maps/mount".to_owned(), "must be absolute"),
        ("empty", String::new(), "must be absolute"),
        ("a NUL", format!("{maps}/mo\0unt"), "must be absolute"),
        ("too long", format!("{kubelet}/{}mount", "x/".repeat(2100)), "at most 4095 bytes"),
        ("too long a name", format!("{maps}/{}", "x".repeat(256)), "at most 255 bytes"),
        ("too long a parent", format!("{}/{}/mount", volumes("pod"), "x".repeat(256)), "at most 255 bytes"),
    ] {
        let expected = (INVALID, part);
        assert_untouched(node, what, &target, expected, Some(expected));
    }

    let (publish, unpublish) = ((INVALID, "symbolic link"), Some((INVALID, "symbolic link")));
    assert_untouched(node, "link outside", &format!("{}/maps/mount", volumes("out")), publish, unpublish);
    assert_untouched(node, "link inside", &format!("{}/in/mount", volumes("pod")), publish, unpublish);
    assert_untouched(node, "dangling link", &format!("{}/dangling/mount", volumes("pod")), publish, unpublish);
    let gone = format!("{}/gone/mount", volumes("pod"));
    assert_untouched(node, "no parent", &gone, (INVALID, "does not exist"), None);
    assert_untouched(node, "file above", &format!("{}/file/mount", volumes("pod")), publish, unpublish);
}

/// What is mounted there is somebody's volume or an administrator's, so nothing in it is the kubelet's.
fn nothing_inside_a_mount_is_touched(node: &Node) {
    for above in ["", "/volumes", "/volumes/kubernetes.io~csi", "/volumes/kubernetes.io~csi/maps"] {
        let pod = node.kubelet.join(format!("pods/pod{}", above.len()));
        let mounted = PathBuf::from(format!("{}{above}", pod.display()));
        fs::create_dir_all(&mounted).unwrap();
        mounts::tmpfs(&mounted);
        let target = pod.join("volumes/kubernetes.io~csi/maps/mount");
        fs::create_dir_all(&target).unwrap();
        let expected = (Code::InvalidArgument, "inside something that is mounted");
        assert_untouched(node, &format!("mount {}", above.len()), target.to_str().unwrap(), expected, Some(expected));
    }
}

/// What is there, how to create it, and a part of the message.
type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);

fn something_else_at_the_target(node: &Node) {
    const TAKEN: Code = Code::AlreadyExists;
    const NOT_OURS: Code = Code::FailedPrecondition;
    fs::create_dir_all(node.root.join("other/directory")).unwrap();
    let cases: [Case<'_>; 14] = [
        ("a link", &|target| symlink("/", target).unwrap(), "is a symbolic link"),
        ("a dangling link", &|target| symlink("nowhere", target).unwrap(), "is a symbolic link"),
        ("a file", &|target| fs::write(target, "content").unwrap(), "is a file"),
        ("a fifo", &|target| fifo(target), "is a file"),
        ("a full directory", &|target| fs::create_dir_all(target.join("x")).unwrap(), "a directory that is not empty"),
        ("a tmpfs", &|target| directory_and(target, mounts::tmpfs), "no volume of this driver"),
        ("a bpffs", &|target| directory_and(target, mounts::bpffs), "no volume of this driver"),
        ("a file mount", &|target| file_mount(target), "is a mount on a file"),
        (
            "a bind",
            &|target| directory_and(target, |target| mounts::read_only_bind(&node.pins, target)),
            "no volume of this driver",
        ),
        (
            "a bind of a directory",
            &|target| directory_and(target, |target| mounts::read_only_bind(&node.root.join("other"), target)),
            "no volume of this driver",
        ),
        ("a writable bpffs", &|target| directory_and(target, |to| misshapen(c"bpf", c"other", to)), "no volume"),
        (
            "a writable tmpfs",
            &|target| directory_and(target, |to| misshapen(c"tmpfs", c"csi-bpffs:volume", to)),
            "no volume",
        ),
        ("a read-only tmpfs", &|target| directory_and(target, |to| read_only(c"tmpfs", c"0755", to)), "no volume"),
        ("a read-only bpffs", &|target| directory_and(target, |to| read_only(c"bpf", c"0700", to)), "no volume"),
    ];
    for (what, make, part) in cases {
        let target = node.target(what);
        make(&target);
        let target = target.to_str().unwrap();
        assert_untouched(node, what, target, (TAKEN, part), Some((NOT_OURS, part)));
    }
}

fn directory_and(target: &Path, make: impl Fn(&Path)) {
    fs::create_dir(target).unwrap();
    make(target);
}

fn fifo(target: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, target, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

fn file_mount(target: &Path) {
    fs::write(target, "beneath").unwrap();
    let other = target.with_file_name("other");
    fs::write(&other, "above").unwrap();
    rustix::mount::mount_bind(&other, target).unwrap();
}

/// A filesystem of a volume's type, but writable.
fn misshapen(filesystem: &'static CStr, source: &CStr, target: &Path) {
    attach(&mount::detached(filesystem, &[(c"source", source), (c"mode", c"0555")]).unwrap(), target);
}

/// A read-only filesystem of a volume's type, but not ours.
fn read_only(filesystem: &'static CStr, mode: &'static CStr, target: &Path) {
    let mount = mount::detached(filesystem, &[(c"source", c"other"), (c"mode", mode)]).unwrap();
    mount::make_superblock_read_only(mount.as_fd()).unwrap();
    attach(&mount, target);
}

fn attach(mount: &OwnedFd, target: &Path) {
    let target = CString::new(target.to_str().unwrap()).unwrap();
    mount::attach(mount.as_fd(), rustix::fs::CWD, &target).unwrap();
}

both_ways!(
    a_path_that_leads_elsewhere,
    nothing_inside_a_mount_is_touched,
    something_else_at_the_target,
    ids_that_csi_allows,
);

/// It is like a volume except for its source.
#[test]
fn a_mount_of_our_shape_with_another_source() {
    let node = Node::start();
    let shows = node.shows_sources("the source of a foreign bpffs");
    for (filesystem, name) in [(c"tmpfs", "a tmpfs"), (c"bpf", "a bpffs")] {
        let target = node.target(name);
        directory_and(&target, |target| read_only(filesystem, c"0555", target));
        let is_shown = shows || filesystem == c"tmpfs";
        let part = if is_shown { "a mount of \"other\" that is no volume of this driver" } else { "another volume, " };
        let (publish, unpublish) = ((Code::AlreadyExists, part), (Code::FailedPrecondition, part));
        assert_untouched(&node, name, target.to_str().unwrap(), publish, Some(unpublish));
    }
}

#[test]
fn malformed_requests_name_the_field() {
    let node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let target = node.target("pod");
    let good = Wanted::new("volume", &target).read("flows", flows.clone()).request();
    let with = |change: &dyn Fn(&mut Wanted)| {
        let mut wanted = Wanted(good.clone());
        change(&mut wanted);
        wanted
    };
    let id = |id: &str| with(&|wanted| id.clone_into(&mut wanted.0.volume_id));
    let file = |name: &str| with(&|wanted| name.clone_into(&mut wanted.0.maps[0].file_name));
    let long = "x".repeat(129);
    let many = (0..257).fold(Wanted::new("volume", &target), |wanted, n| wanted.read(&n.to_string(), flows.clone()));
    let twice = Wanted(good.clone()).write("flows", flows.clone());
    for (what, wanted, field) in [
        ("no id", id(""), "volume_id: must have 1 to 128 bytes"),
        ("long id", id(&long), "volume_id: must have 1 to 128 bytes, has 129"),
        ("id of 130 bytes", id(&"ä".repeat(65)), "volume_id: must have 1 to 128 bytes, has 130"),
        ("id with a newline", id("a\nb"), "volume_id: '\\n'"),
        ("id with a NUL", id("a\0b"), "volume_id: '\\0'"),
        ("id with a control character beyond ASCII", id("a\u{85}b"), "volume_id: '\\u{85}'"),
        ("no file name", file(""), "file_name: must have 1 to 128 characters"),
        ("long file name", file(&long), "file_name: must have 1 to 128 characters, has 129"),
        ("a dot", file("."), "file_name: '.'"),
        ("dots", file(".."), "file_name: '.'"),
        ("a debug file", file("maps.debug"), "file_name: '.'"),
        ("file name with a slash", file("a/b"), "file_name: '/'"),
        ("file name with a NUL", file("a\0"), "file_name: '\\0'"),
        ("bad uid", with(&|wanted| wanted.0.maps[0].uid = Some("a/b".to_owned())), "uid: '/' in \"a/b\""),
        ("file name twice", twice, "file_name: \"flows\" is given twice"),
        ("no maps", Wanted::new("volume", &target), "maps: must have 1 to 256 entries, has 0"),
        ("too many maps", many, "maps: must have 1 to 256 entries, has 257"),
        ("no such group", Wanted(good.clone()).gid(u32::MAX), "gid: 4294967295"),
        ("no access", with(&|wanted| wanted.0.maps[0].access = 0), "access: must be READ_ONLY or READ_WRITE"),
        ("unknown access", with(&|wanted| wanted.0.maps[0].access = 7), "access: must be READ_ONLY or READ_WRITE"),
        ("no source", Wanted::new("volume", &target).map("x", Access::ReadOnly, None), "source: must be one of"),
        ("no name", with(&|wanted| wanted.0.maps[0].name.clear()), "name: must have 1 to 128 characters"),
    ] {
        let answer = node.publish(&wanted);
        assert!(answer.is_err(), "{what}");
        assert_refused(answer, Code::InvalidArgument, &[field]);
    }
    for id in ["", "a\tb", &long] {
        assert_refused(node.unpublish(id, &target), Code::InvalidArgument, &["volume_id: "]);
        assert_refused(node.stats(id, &target), Code::InvalidArgument, &["volume_id: "]);
    }
    let outside = PathBuf::from("/etc");
    assert_refused(node.stats("volume", &outside), Code::InvalidArgument, &["target_path: "]);
    assert!(!target.exists());
    assert_eq!(mounts::beneath(&node.kubelet), []);
}

/// If the kubelet's directory is a symbolic link, requests may use either path; responses use the kubelet's.
#[test]
fn the_kubelets_directory_may_be_a_link() {
    let mut node = Node::without_pinner();
    let resolved = node.root.join("data");
    fs::rename(&node.kubelet, &resolved).unwrap();
    symlink(&resolved, &node.kubelet).unwrap();
    node.start_pinner(&[]);
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows).single_target();
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created);
    let same = resolved.join(wanted.target().strip_prefix(&node.kubelet).unwrap());
    let mut resolved = wanted.clone();
    same.to_str().unwrap().clone_into(&mut resolved.0.target_path);
    assert_eq!(node.publish(&resolved).unwrap(), Outcome::Unchanged);
    assert_eq!(node.stats("volume", &same).unwrap().maps, 1);
    let listed: Vec<_> = node.list().into_iter().map(|(_, target)| target).collect();
    assert_eq!(listed, [wanted.target()]);
    if node.shows_sources("a second target beneath a link") {
        let mut second = wanted.clone();
        node.target("another").to_str().unwrap().clone_into(&mut second.0.target_path);
        let first = wanted.target();
        assert_refused(node.publish(&second), Code::FailedPrecondition, &["one target", first.to_str().unwrap()]);
    }
    node.unpublish("volume", &same).unwrap();
    assert!(!wanted.target().exists());
}

/// An administrator can choose any volume handle.
fn ids_that_csi_allows(node: &Node) {
    let (_flows, flows) = node.map("flows", 1);
    let long = "ü".repeat(64);
    for id in ["prod/flows#a", "a b", "a\\040b", "..", "/", "csi-bpffs:a", "%41,ro=\"x\"", "日本\u{200b}", &long] {
        for user_namespace in [false, true] {
            let mut wanted = Wanted::new(id, &node.target("pod")).read("flows", flows.clone()).single_target();
            wanted.0.user_namespace = user_namespace;
            assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created, "{id:?}");
            assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged, "{id:?}");
            assert_eq!(node.stats(id, &wanted.target()).unwrap().maps, 1, "{id:?}");
            assert_refused(node.unpublish("other", &wanted.target()), Code::FailedPrecondition, &["another volume, "]);
            if node.shows_sources("an unusual id in the mount table") {
                assert_eq!(node.list(), [(id.to_owned(), wanted.target())]);
                let mut second = wanted.clone();
                node.target("another").to_str().unwrap().clone_into(&mut second.0.target_path);
                assert_refused(node.publish(&second), Code::FailedPrecondition, &["one target at a time"]);
            }
            node.unpublish(id, &wanted.target()).unwrap();
        }
    }
}
