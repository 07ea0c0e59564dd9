//! What nobody can do in a workspace, though its directory is his: see the listings of the whole host that some kernels put
//! into every bpffs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{CapabilitySet, capabilities};

use crate::layout::debug_files;
use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::Workspace;
use crate::support::{both_ways, mounts, skipped};

/// Publishes a workspace, with what hides the listings in it; `None` where this kernel makes none.
fn publish(node: &Node, pod: &str) -> Option<Workspace> {
    if debug_files(node).is_empty() {
        skipped("listings of the whole host in a workspace", "this kernel puts none into a bpffs");
        return None;
    }
    let wanted = Workspace::new("pv", &node.pod(pod, "pv"));
    node.publish_workspace(&wanted).unwrap();
    Some(wanted)
}

/// Uid 0 with all capabilities but `CAP_SYS_ADMIN`.
fn strongest() -> User {
    User::root_with(capabilities(None).unwrap().permitted - CapabilitySet::SYS_ADMIN)
}

#[track_caller]
fn assert_hidden(node: &Node, directory: &Path) {
    for name in debug_files(node) {
        // Some kernels make the file but answer ENOENT to who opens it; a cover can always be opened.
        assert_eq!(fs::read(directory.join(name)).unwrap(), b"", "{name} in {}", directory.display());
        let [hidden, shown] = [&node.pins, directory].map(|at| rustix::fs::statfs(at.join(name)).unwrap().f_type);
        assert_ne!(hidden, shown, "{name} in {}", directory.display());
    }
}

fn listings_stay_covered_whatever_their_owner_tries(node: &Node) {
    let Some(wanted) = publish(node, "pod") else { return };
    let view = node.root.join("view");
    mounts::container_view(&wanted.target(), &view);
    assert_hidden(node, &view);
    let [new, link, directory] = ["new", "link", "directory"].map(|name| view.join(name));
    for user in [strongest(), User::NOBODY] {
        user.run(|| {
            fs::create_dir(&directory).unwrap();
            symlink("maps.debug", &link).unwrap();
        });
        for name in debug_files(node) {
            let listing = view.join(name);
            user.run(|| {
                for (what, outcome) in [
                    ("unlink", fs::remove_file(&listing)),
                    ("rename", fs::rename(&listing, &new)),
                    ("rename into a directory", fs::rename(&listing, directory.join("new"))),
                    ("rename onto it", fs::rename(&link, &listing)),
                    ("link", fs::hard_link(&listing, &new)),
                    ("write", fs::write(&listing, "x")),
                    ("mkdir", fs::create_dir(&listing)),
                    ("symlink", symlink("x", &listing)),
                    ("rename of the directory", fs::rename(&view, view.with_file_name("moved"))),
                ] {
                    assert!(outcome.is_err(), "{what} of {name} as {user:?}");
                }
                let _ = fs::set_permissions(&listing, std::os::unix::fs::PermissionsExt::from_mode(0o777));
                assert_eq!(fs::read(&listing).unwrap(), b"", "{name} as {user:?}");
            });
        }
        user.run(|| {
            fs::remove_file(&link).unwrap();
            fs::remove_dir(&directory).unwrap();
        });
    }
    assert_hidden(node, &node.kept_at("pv"));
}

/// Mounts that share events would be unmounted together: the covers of the store's, and of all other pods'.
fn unpublishing_uncovers_no_other_pods(node: &Node) {
    mount_change(&node.root, MountPropagationFlags::SHARED | MountPropagationFlags::REC).unwrap();
    let Some(first) = publish(node, "first") else { return };
    let second = publish(node, "second").unwrap();
    // Where the store lies on a shared mount, and so does what is mounted in it.
    mount_change(node.kept_at("pv"), MountPropagationFlags::SHARED | MountPropagationFlags::REC).unwrap();
    let third = publish(node, "third").unwrap();
    let fourth = publish(node, "fourth").unwrap();

    for gone in [&first, &third] {
        node.unpublish("pv", &gone.target()).unwrap();
        assert!(!gone.target().exists());
    }

    for directory in [second.target(), fourth.target(), node.kept_at("pv")] {
        assert_hidden(node, &directory);
        assert_eq!(mounts::beneath(&directory).len(), 1 + debug_files(node).len(), "{}", directory.display());
    }
}

both_ways!(listings_stay_covered_whatever_their_owner_tries, unpublishing_uncovers_no_other_pods);
