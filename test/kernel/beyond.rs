//! The limits of read-only: a process with `CAP_BPF` or `CAP_SYS_ADMIN` overcomes any volume. Only a map that its owner
//! created read-only for programs and froze holds even then.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::FsPickFlags;
use rustix::thread::CapabilitySet;

use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::Wanted;
use crate::support::{map, mounts, program, unique};

const BPF_F_RDONLY_PROG: u32 = 1 << 7;

const WITH_BPF: User = User::root_with(CapabilitySet::BPF);
const WITH_SYS_ADMIN: User = User::root_with(CapabilitySet::SYS_ADMIN);

/// A container's view of a volume with this map, read-only.
fn read_only_view(node: &Node, map: &OwnedFd) -> PathBuf {
    let wanted = Wanted::new("volume", &node.target("pod")).read("flows", node.pin("flows", map.as_fd()));
    node.publish(&wanted).unwrap();
    let view = node.root.join("view");
    mounts::container_view(&wanted.target(), &view);
    view
}

/// Loads and runs a program that writes to the map through a read-only descriptor.
fn write_by_program(user: User, view: &std::path::Path) -> Result<(), Errno> {
    user.run(|| {
        let flows = map::open_read_only(&view.join("flows")).unwrap();
        let writer = program::writer(&unique("writer"), flows.as_fd(), 666)?;
        program::run(writer.as_fd())
    })
}

#[test]
fn with_cap_bpf_a_program_writes_through_a_read_only_descriptor() {
    let node = Node::start();
    let flows = map::hash("flows", 7);
    let view = read_only_view(&node, &flows);

    assert_eq!(write_by_program(WITH_BPF, &view), Ok(()));

    assert_eq!(map::lookup(flows.as_fd(), 1), Ok(666));
}

#[test]
fn without_cap_bpf_no_program_is_loaded_that_could() {
    let node = Node::start();
    let flows = map::hash("flows", 7);
    let view = read_only_view(&node, &flows);
    if !node.has("unprivileged-maps", "a program by a process without CAP_BPF") {
        return;
    }

    for user in [User::strongest_held(), User::NOBODY] {
        assert_eq!(write_by_program(user, &view), Err(Errno::PERM), "{user:?}");
    }

    assert_eq!(map::lookup(flows.as_fd(), 1), Ok(7));
}

#[test]
fn with_cap_sys_admin_a_superblock_becomes_writable_again() {
    let node = Node::start();
    let flows = map::hash("flows", 7);
    let pin = read_only_view(&node, &flows).join("flows");

    WITH_SYS_ADMIN.run(|| {
        assert!(map::open_writable(&pin).is_err());
        let context = rustix::mount::fspick(CWD, pin.parent().unwrap(), FsPickFlags::FSPICK_CLOEXEC).unwrap();
        rustix::mount::fsconfig_set_flag(context.as_fd(), c"rw").unwrap();
        rustix::mount::fsconfig_reconfigure(context.as_fd()).unwrap();
    });
    let both = User::root_with(CapabilitySet::SYS_ADMIN | CapabilitySet::DAC_OVERRIDE);
    both.run(|| map::update(map::open_writable(&pin).unwrap().as_fd(), 1, 666)).unwrap();

    assert_eq!(map::lookup(flows.as_fd(), 1), Ok(666));
}

#[test]
fn with_cap_sys_admin_any_map_is_had_by_its_id() {
    let flows = map::hash("flows", 7);
    let id = map::id(flows.as_fd());
    let by_id = |user: User| user.run(|| map::by_id(id));

    let found = by_id(WITH_SYS_ADMIN).unwrap();
    map::update(found.as_fd(), 1, 666).unwrap();

    assert_eq!(map::lookup(flows.as_fd(), 1), Ok(666));
    for user in [User::strongest_held(), WITH_BPF, User::NOBODY] {
        assert_eq!(by_id(user).err(), Some(Errno::PERM), "{user:?}");
    }
}

#[test]
fn a_frozen_map_holds_against_system_calls_but_not_against_programs() {
    let node = Node::start();
    let flows = map::hash("flows", 7);
    map::freeze(flows.as_fd()).unwrap();
    let view = read_only_view(&node, &flows);

    assert_eq!(map::update(flows.as_fd(), 1, 666), Err(Errno::PERM));
    assert_eq!(map::delete(flows.as_fd(), 1), Err(Errno::PERM));
    let by_id = map::by_id(map::id(flows.as_fd())).unwrap();
    assert_eq!(map::update(by_id.as_fd(), 1, 666), Err(Errno::PERM));
    assert_eq!(map::lookup(flows.as_fd(), 1), Ok(7));

    assert_eq!(write_by_program(WITH_BPF, &view), Ok(()));
    assert_eq!(map::lookup(flows.as_fd(), 1), Ok(666));
}

#[test]
fn a_frozen_map_that_is_read_only_for_programs_holds_against_all() {
    let node = Node::start();
    let flows = map::create(map::HASH, "flows", BPF_F_RDONLY_PROG);
    map::update(flows.as_fd(), 1, 7).unwrap();
    map::freeze(flows.as_fd()).unwrap();
    let view = read_only_view(&node, &flows);

    assert_eq!(write_by_program(WITH_BPF, &view), Err(Errno::ACCESS));
    let all = User::root_with(rustix::thread::capabilities(None).unwrap().permitted);
    assert_eq!(write_by_program(all, &view), Err(Errno::ACCESS));
    assert_eq!(map::update(flows.as_fd(), 1, 666), Err(Errno::PERM));

    assert_eq!(map::lookup(flows.as_fd(), 1), Ok(7));
}
