//! With a driver name, the pinner touches only volumes that the kubelet's `vol_data.json` vouches for.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use bpffs_pinner::api::publish_volume_response::Outcome;
use tonic::{Code, Status};

use crate::support::node::Node;
use crate::support::wanted::{Wanted, Workspace, created_for};
use crate::support::{assert_refused, mounts};

const DRIVER: &str = "csi.bpffs.dev";
const REFUSED: Code = Code::FailedPrecondition;

fn node() -> Node {
    Node::start_with(&["--driver-name", DRIVER])
}

/// Writes the file as the kubelet does, with its order of fields.
fn vouch(target: &Path, driver: &str, volume_id: &str, lifecycle: &str) {
    let text = format!(
        "{{\"attachmentID\":\"csi-1\",\"driverName\":\"{driver}\",\"nodeName\":\"node\",\"specVolID\":\"maps\",\
         \"volumeHandle\":\"{volume_id}\",\"volumeLifecycleMode\":\"{lifecycle}\"}}\n"
    );
    write(target, &text);
}

fn write(target: &Path, text: &str) {
    fs::write(target.with_file_name("vol_data.json"), text).unwrap();
}

#[test]
fn what_the_kubelet_has_is_published_and_unpublished() {
    let node = node();
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("csi-1", &node.pod("pod", "maps")).read("flows", flows);
    vouch(&wanted.target(), DRIVER, "csi-1", "Ephemeral");
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Created);
    node.unpublish("csi-1", &wanted.target()).unwrap();
    // Repeated after the kubelet has cleaned up, and without any directory: there is nothing to vouch for.
    fs::remove_file(wanted.target().with_file_name("vol_data.json")).unwrap();
    node.unpublish("csi-1", &wanted.target()).unwrap();
    fs::remove_dir(wanted.target().parent().unwrap()).unwrap();
    node.unpublish("csi-1", &wanted.target()).unwrap();

    let workspace = Workspace::new("pv-1", &node.pod("pod", "pv"));
    vouch(&workspace.target(), DRIVER, "pv-1", "Persistent");
    assert_eq!(node.publish_workspace(&workspace).unwrap(), Outcome::Created);
    node.unpublish("pv-1", &workspace.target()).unwrap();
    let kept = Wanted::new("pv-2", &node.pod("pod", "kept")).read("m", created_for("pv-2", "m", "array"));
    vouch(&kept.target(), DRIVER, "pv-2", "Persistent");
    assert_eq!(node.publish(&kept).unwrap(), Outcome::Created);
    node.unpublish("pv-2", &kept.target()).unwrap();
}

#[test]
fn what_the_kubelet_does_not_have_is_left_alone() {
    let node = node();
    let (_flows, flows) = node.map("flows", 1);
    let wanted = Wanted::new("csi-1", &node.pod("pod", "maps")).read("flows", flows);
    let (target, file) = (wanted.target(), wanted.target().with_file_name("vol_data.json"));
    let nothing = "is no file of the kubelet's: it has asked for no volume there";
    let long = format!("{{\"specVolID\":\"{}\",\"driverName\":\"{DRIVER}\"}}", "x".repeat(1 << 16));
    let cases: [(&str, &dyn Fn(), Code, &str); 13] = [
        ("nothing", &|| (), REFUSED, nothing),
        ("a directory", &|| fs::create_dir(&file).unwrap(), REFUSED, nothing),
        ("a link", &|| symlink("/etc/passwd", &file).unwrap(), REFUSED, nothing),
        ("a fifo", &|| fifo(&file), REFUSED, nothing),
        ("a mount", &|| file_mount(&file), REFUSED, nothing),
        ("not root's", &|| not_roots(&target, &file), REFUSED, nothing),
        ("empty", &|| write(&target, ""), Code::Unavailable, "is not complete"),
        ("half", &|| write(&target, "{\"driverName\":\"csi"), Code::Unavailable, "is not complete"),
        ("too long", &|| write(&target, &long), Code::Unavailable, "is not complete"),
        ("not text", &|| write(&target, "{\"driverName\":7}"), REFUSED, "has driverName \"\", not \"csi.bpffs.dev\""),
        ("another driver", &|| vouch(&target, "x.dev", "csi-1", "Ephemeral"), REFUSED, "has driverName \"x.dev\""),
        ("another volume", &|| vouch(&target, DRIVER, "csi-2", "Ephemeral"), REFUSED, "has volumeHandle \"csi-2\""),
        ("no lifecycle", &|| vouch(&target, DRIVER, "csi-1", ""), REFUSED, "has volumeLifecycleMode \"\""),
    ];
    for (what, make, code, part) in cases {
        make();
        // An empty directory, perhaps another driver's, must stay.
        fs::create_dir(&target).unwrap();
        let before = mounts::snapshot(&node.kubelet);
        let parts = [file.to_str().unwrap(), part];
        eprintln!("{what}");
        assert_refused(node.publish(&wanted), code, &parts);
        assert_refused(node.publish_workspace(&Workspace::new("csi-1", &target)), code, &parts);
        assert_refused(node.unpublish("csi-1", &target), code, &parts);
        assert_eq!(mounts::snapshot(&node.kubelet), before, "{what}");
        let _ = rustix::mount::unmount(&file, rustix::mount::UnmountFlags::DETACH);
        let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
        fs::remove_dir(&target).unwrap();
    }
}

fn fifo(path: &Path) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

fn file_mount(path: &Path) {
    let other = path.with_file_name("other");
    for file in [path, &other] {
        fs::write(file, "{}").unwrap();
    }
    rustix::mount::mount_bind(&other, path).unwrap();
    fs::remove_file(&other).unwrap();
}

fn not_roots(target: &Path, file: &Path) {
    vouch(target, DRIVER, "csi-1", "Ephemeral");
    chown(file, Some(65534), None).unwrap();
}

/// A compromised node plugin cannot turn an inline volume into something that outlives the pod.
#[test]
fn an_inline_volume_is_no_workspace_and_keeps_nothing() {
    let node = node();
    let target = node.pod("pod", "maps");
    vouch(&target, DRIVER, "csi-1", "Ephemeral");
    let refused = |answer: Result<Outcome, Status>, part: &str| assert_refused(answer, REFUSED, &[part]);
    for workspace in [Workspace::new("csi-1", &target), Workspace::new("csi-1", &target).read_only()] {
        refused(node.publish_workspace(&workspace), "an inline volume cannot be a workspace");
    }
    let kept = |keeper: &str| Wanted::new("csi-1", &target).read("m", created_for(keeper, "m", "array"));
    refused(node.publish(&kept("csi-1")), "map \"m\": nothing can be kept for an inline volume");
    vouch(&target, DRIVER, "csi-1", "Persistent");
    refused(node.publish(&kept("pv-2")), "map \"m\": it is kept for another volume, \"pv-2\"");
    assert_eq!(node.kept(), [] as [&str; 0]);
    assert_eq!(mounts::beneath(&node.kubelet), []);
}
