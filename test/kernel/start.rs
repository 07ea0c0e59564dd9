//! Starting and stopping: bad configuration, and who has the socket.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::thread::CapabilitySet;

use crate::support::node::Node;
use crate::support::skipped;
use crate::support::wanted::Wanted;

/// How long a pinner may take to refuse to start, before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asserts that the pinner exits at once with 64 and one line that has all these parts.
#[track_caller]
fn assert_gives_up(command: &mut Command, parts: &[&str]) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{parts:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("bpffs-pinner: "), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in {stderr:?}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn bad_configuration_is_one_line_that_names_the_flag() {
    let node = Node::without_pinner();
    let file = node.root.join("file");
    fs::write(&file, "content").unwrap();
    let (file, missing) = (file.to_str().unwrap(), node.root.join("missing"));
    let beneath_missing = missing.join("pinner.sock");
    let (missing, beneath_missing) = (missing.to_str().unwrap(), beneath_missing.to_str().unwrap());
    let long = format!("{}/{}", node.root.display(), "x".repeat(120));
    for (flag, value) in [
        ("--socket", "pinner.sock"),
        ("--socket", beneath_missing),
        ("--socket", file),
        ("--socket", &long),
        ("--kubelet-dir", "kubelet"),
        ("--kubelet-dir", "/var/../etc"),
        ("--kubelet-dir", "/etc/"),
        ("--kubelet-dir", missing),
        ("--kubelet-dir", file),
        ("--kubelet-dir", "/proc"),
        ("--driver-name", ""),
        ("--store-dir", "store"),
        ("--store-dir", file),
        ("--pin-root", "/sys//fs"),
        ("--pin-root", "pins"),
        ("--peer-dir", "plugins"),
        ("--peer-dir", file),
        ("--peer-uid", "4294967295"),
        ("--peer-uid", "4294967296"),
        ("--peer-uid", "-1"),
        ("--peer-uid", "nobody"),
        ("--log-level", "loud"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bpffs-pinner"));
        command.env_clear();
        for (usual, path) in [
            ("--socket", &node.socket),
            ("--kubelet-dir", &node.kubelet),
            ("--store-dir", &node.store),
            ("--pin-root", &node.pins),
        ] {
            if usual != flag {
                command.arg(usual).arg(path);
            }
        }
        command.arg(format!("{flag}={value}"));
        assert_gives_up(&mut command, &[flag]);
    }
    assert_gives_up(&mut node.command(&["--bogus"]), &["--bogus"]);
    assert_gives_up(&mut node.command(&["bogus"]), &["bogus"]);
    assert_gives_up(node.command(&[]).env("PINNER_PEER_DIRS", "plugins"), &["--peer-dir"]);
    assert_eq!(fs::read_to_string(file).unwrap(), "content");
    assert!(!node.socket.exists());
}

#[test]
fn without_root_and_its_capabilities_it_does_not_start() {
    let node = Node::without_pinner();
    let mut as_nobody = node.command(&[]);
    as_nobody.uid(65534);
    if as_nobody.output().is_ok() {
        assert_gives_up(&mut as_nobody, &["root", "CAP_SYS_ADMIN", "CAP_BPF", "CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
    } else {
        skipped("starting as uid 65534", "it cannot reach the pinner's file");
    }
    let mut without = node.command(&["--network-maps"]);
    let drop_one = || {
        rustix::thread::remove_capability_from_bounding_set(CapabilitySet::NET_ADMIN)?;
        Ok(())
    };
    // SAFETY: between fork and exec only one system call is made.
    unsafe { without.pre_exec(drop_one) };
    assert_gives_up(&mut without, &["CAP_NET_ADMIN"]);
}

#[test]
fn help_and_version_are_no_errors() {
    for flag in ["--help", "--version"] {
        let output = Command::new(env!("CARGO_BIN_EXE_bpffs-pinner")).arg(flag).output().unwrap();
        assert!(output.status.success());
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{flag}");
    }
}

#[test]
fn the_socket_is_for_one_user() {
    let node = Node::start_with(&["--peer-uid", "65532"]);
    let socket = fs::metadata(&node.socket).unwrap();
    assert_eq!((socket.mode() & 0o777, socket.uid(), socket.gid()), (0o600, 65532, 0));
}

#[test]
fn the_socket_of_a_dead_server_is_replaced() {
    let mut node = Node::without_pinner();
    drop(UnixListener::bind(&node.socket).unwrap());
    assert!(node.socket.exists());
    node.start_pinner(&[]);
    node.node().unwrap();
    node.stop_by(Signal::KILL);
    assert!(node.socket.exists());
    node.start_pinner(&[]);
    node.node().unwrap();
}

#[test]
fn the_socket_of_a_living_server_is_not_stolen() {
    let node = Node::start();
    let before = fs::metadata(&node.socket).unwrap().ino();
    assert_gives_up(&mut node.command(&[]), &["--socket", "already", node.socket.to_str().unwrap()]);
    assert_eq!(fs::metadata(&node.socket).unwrap().ino(), before);
    node.node().unwrap();
}

#[test]
fn what_is_no_socket_is_not_touched() {
    let node = Node::without_pinner();
    for make in [
        (|path: &Path| fs::write(path, "content").unwrap()) as fn(&Path),
        |path| fs::create_dir(path).unwrap(),
        |path| std::os::unix::fs::symlink("elsewhere", path).unwrap(),
    ] {
        make(&node.socket);
        let before = fs::symlink_metadata(&node.socket).unwrap();
        assert_gives_up(&mut node.command(&[]), &["--socket", "is no socket"]);
        let after = fs::symlink_metadata(&node.socket).unwrap();
        assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()));
        if before.is_dir() { fs::remove_dir(&node.socket) } else { fs::remove_file(&node.socket) }.unwrap();
    }
    assert!(!node.root.join("elsewhere").exists());
}

#[test]
fn sigterm_and_sigint_end_it_and_remove_the_socket() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut node = Node::start();
        let (_flows, flows) = node.map("flows", 1);
        let wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows);
        node.publish(&wanted).unwrap();
        assert!(node.stop_by(signal).success());
        assert!(!node.socket.exists());
        assert!(wanted.target().join("flows").exists());
        assert!(UnixStream::connect(&node.socket).is_err());
    }
}

#[test]
fn directories_for_the_node_plugin_are_made_and_given_to_it() {
    let mut node = Node::without_pinner();
    let [new, old] = ["a/b/new", "old"].map(|name| node.root.join(name));
    fs::create_dir(&old).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o700)).unwrap();
    let list = format!("{},{}", new.display(), old.display());
    node.start_pinner(&["--peer-dir", &list, "--peer-uid", "65532"]);
    for directory in [new, old] {
        let found = fs::metadata(&directory).unwrap();
        assert!(found.is_dir());
        assert_eq!((found.uid(), found.gid()), (65532, 0), "{directory:?}");
    }
}

#[test]
fn a_directory_that_somebody_else_could_have_put_there_is_not_given_away() {
    let node = Node::without_pinner();
    let path = |name: &str| node.root.join(name);
    let owned_by = |name: &str, uid: u32, mode: u32| {
        fs::create_dir_all(path(name)).unwrap();
        chown(path(name), Some(uid), None).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    owned_by("secret", 0, 0o700);
    symlink(path("secret"), path("link")).unwrap();
    fs::create_dir(path("links")).unwrap();
    symlink(path("secret"), path("links/plugins")).unwrap();
    owned_by("foreign", 65534, 0o755);
    owned_by("open", 0, 0o777);
    owned_by("sticky", 0, 0o1777);
    owned_by("sticky/taken", 65534, 0o755);
    for (directory, problem) in [
        ("link", "link is a symbolic link or no directory"),
        ("link/plugins", "link is a symbolic link or no directory"),
        ("links/plugins", "links/plugins is a symbolic link or no directory"),
        ("foreign/plugins", "foreign must belong to root and be closed for writing to others"),
        ("open/plugins", "open must belong to root and be closed for writing to others"),
        ("sticky/taken", "sticky/taken belongs to uid 65534, and so it is not given to 65532"),
    ] {
        let flags = ["--peer-uid", "65532", "--peer-dir", &path(directory).display().to_string()].map(str::to_owned);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        assert_gives_up(&mut node.command(&flags), &["--peer-dir: ", problem]);
    }
    let secret = fs::metadata(path("secret")).unwrap();
    assert_eq!((secret.uid(), fs::read_dir(path("secret")).unwrap().count()), (0, 0));
    assert!(!path("foreign/plugins").exists() && !path("open/plugins").exists());

    let (mut node, sticky) = (node, "sticky/plugins");
    let list = format!("{},{}", node.root.join(sticky).display(), node.root.join(sticky).display());
    node.start_pinner(&["--peer-uid", "65532", "--peer-dir", &list]);
    assert_eq!(fs::metadata(node.root.join(sticky)).unwrap().uid(), 65532);
}
