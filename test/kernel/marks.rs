//! What a volume records about how it was made: what the pod asked for, and the origin of each file. Renewal never
//! widens a pod's access, and nothing in the pod can change the record.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use bpffs_pinner::api::Access::{self, ReadOnly, ReadWrite};
use bpffs_pinner::api::file_change::Kind;
use bpffs_pinner::api::publish_volume_response::Outcome;
use bpffs_pinner::sys::mount;
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::thread::CapabilitySet;
use tonic::Code;

use crate::isolation::names;
use crate::support::node::Node;
use crate::support::user::User;
use crate::support::wanted::Wanted;
use crate::support::{assert_refused, both_ways, map};

both_ways!(
    what_is_kept_has_at_most_the_access_that_it_had,
    what_is_kept_comes_from_the_same_name,
    swapped_file_names_keep_nothing,
    of_a_file_that_several_want_the_one_that_has_it_keeps_it,
    what_was_made_anew_under_its_name_is_another,
    another_request_is_refused,
    no_process_in_the_pod_changes_a_mark,
    a_volume_from_before_marks_stays_as_it_is,
);

/// A file whose source is unavailable: its file name, the name that it comes from, and the access.
type Absent<'a> = (&'a str, &'a str, Access);

fn renewal(volume: &Wanted, files: &[Absent<'_>]) -> Wanted {
    let mut wanted = Wanted(volume.request()).renew();
    wanted.0.maps.clear();
    for (file, name, access) in files {
        wanted = wanted.map(name, *access, None);
        (*file).clone_into(&mut wanted.0.maps.last_mut().unwrap().file_name);
    }
    wanted
}

fn changes(node: &Node, wanted: &Wanted) -> Vec<(String, Kind)> {
    let answer = node.publish_whole(wanted).unwrap();
    let mut changes: Vec<_> = answer.changes.iter().map(|change| (change.path.clone(), change.kind())).collect();
    changes.sort_unstable_by_key(|(path, _)| path.clone());
    changes
}

/// A volume with a read-only and a writable map, in each of the two layouts.
fn volumes(node: &Node) -> [Wanted; 2] {
    let [flows, limits] = ["flows", "limits"].map(|name| node.map(name, 1).1);
    ["plain", "carrier"].map(|name| {
        let wanted = Wanted::new(name, &node.target(name)).read("flows", flows.clone()).write("limits", limits.clone());
        let wanted = if name == "carrier" { wanted.in_user_namespace() } else { wanted };
        node.publish(&wanted).unwrap();
        wanted
    })
}

fn what_is_kept_has_at_most_the_access_that_it_had(node: &Node) {
    for volume in volumes(node) {
        let open = |name: &str| map::open_writable(&volume.target().join(name)).map(drop);
        let ask = |flows, limits| {
            changes(node, &renewal(&volume, &[("flows", "flows", flows), ("limits", "limits", limits)]))
        };
        assert_eq!(ask(ReadWrite, ReadWrite), []);
        assert_eq!((open("flows"), open("limits")), (Err(Errno::ROFS), Ok(())));
        assert_eq!(ask(ReadWrite, ReadOnly), [("limits".to_owned(), Kind::MadeReadOnly)]);
        // Without the source, asking again does not bring the access back.
        assert_eq!(ask(ReadWrite, ReadWrite), []);
        assert_eq!((open("flows"), open("limits")), (Err(Errno::ROFS), Err(Errno::ROFS)));

        let back = changes(node, &Wanted(volume.request()).renew());
        assert_eq!(back, [("limits".to_owned(), Kind::MadeWritable)]);
    }
}

fn what_is_kept_comes_from_the_same_name(node: &Node) {
    for volume in volumes(node) {
        let removed = |path: &str| (path.to_owned(), Kind::Removed);
        // "flows" is revoked, and "limits" wants its file name before it has a map.
        let taken = renewal(&volume, &[("flows", "limits", ReadWrite)]);
        assert_eq!(changes(node, &taken), [removed("flows"), removed("limits")]);
        assert!(names(&volume.target()).is_empty());
        // Later generations have the same record.
        changes(node, &Wanted(volume.request()).renew());
        changes(node, &renewal(&volume, &[("limits", "limits", ReadWrite)]));
        assert_eq!(changes(node, &renewal(&volume, &[("limits", "flows", ReadWrite)])), [removed("limits")]);
    }
}

fn swapped_file_names_keep_nothing(node: &Node) {
    for volume in volumes(node) {
        let swapped = renewal(&volume, &[("flows", "limits", ReadWrite), ("limits", "flows", ReadOnly)]);
        assert_eq!(changes(node, &swapped).len(), 2);
        assert!(names(&volume.target()).is_empty());
    }
}

fn of_a_file_that_several_want_the_one_that_has_it_keeps_it(node: &Node) {
    for volume in volumes(node) {
        let both = |first, second| {
            let wanted = renewal(&volume, &[("limits", first, ReadWrite), ("limits", second, ReadWrite)]);
            changes(node, &wanted)
        };
        let open = || map::open_writable(&volume.target().join("limits")).map(drop);
        // "flows" loses its file, because it wants another.
        assert_eq!(both("limits", "flows"), [("flows".to_owned(), Kind::Removed)]);
        assert_eq!(both("flows", "limits"), []);
        assert_eq!(open(), Ok(()));
        assert_eq!(both("flows", "others"), [("limits".to_owned(), Kind::Removed)]);
        // With a source for one of them, the file's owner would be ambiguous.
        let mut contested = Wanted(volume.request()).renew().map("limits", ReadWrite, None);
        contested.0.maps.retain(|map| map.file_name == "limits");
        assert_refused(node.publish(&contested), Code::InvalidArgument, &["file_name", "limits", "twice"]);
    }
}

fn what_was_made_anew_under_its_name_is_another(node: &Node) {
    for mut volume in volumes(node) {
        let of = |volume: &Wanted, uid: &str| {
            let mut wanted = renewal(volume, &[("flows", "flows", ReadOnly), ("limits", "limits", ReadWrite)]);
            wanted.0.maps[1].uid = Some(uid.to_owned());
            wanted
        };
        volume.0.maps[1].uid = Some("one".to_owned());
        node.unpublish(&volume.0.volume_id, &volume.target()).unwrap();
        node.publish(&volume).unwrap();
        assert_eq!(changes(node, &of(&volume, "one")), []);
        assert_eq!(changes(node, &of(&volume, "two")), [("limits".to_owned(), Kind::Removed)]);
    }
}

fn another_request_is_refused(node: &Node) {
    for volume in volumes(node) {
        let asked = |request: &str| {
            let mut wanted = Wanted(volume.request()).renew();
            request.clone_into(&mut wanted.0.request);
            wanted
        };
        node.unpublish(&volume.0.volume_id, &volume.target()).unwrap();
        assert_eq!(node.publish(&asked("one")).unwrap(), Outcome::Created);
        let refused_for = |request: &Wanted, difference: &str| {
            let target = volume.target();
            let parts = [difference, target.to_str().unwrap()];
            assert_refused(node.publish(request), Code::AlreadyExists, &parts);
        };
        let refused = |request: &Wanted| refused_for(request, "another request");
        refused(&asked("two"));
        let mut other = asked("two");
        other.0.maps[0].access = ReadWrite.into();
        let limits = other.0.maps.pop();
        assert_eq!(limits.map(|map| map.name).as_deref(), Some("limits"));
        let differences =
            "other maps or access: map \"flows\" is read-only (asked for read-write), file \"limits\" is not";
        refused_for(&other, differences);
        let mut strict = asked("two");
        strict.0.renew = false;
        refused(&strict);
        assert_eq!(node.publish(&asked("one")).unwrap(), Outcome::Unchanged);
        assert_eq!(node.publish(&asked("")).unwrap(), Outcome::Unchanged);
        // A generation made without a request keeps the last one's record.
        let mut fewer = asked("");
        fewer.0.maps.pop();
        assert_eq!(node.publish(&fewer).unwrap(), Outcome::Replaced);
        refused_for(&asked("two"), "map \"limits\" is not in it (asked for read-write)");
        assert_eq!(node.publish(&asked("one")).unwrap(), Outcome::Replaced);
    }
}

#[test]
fn another_request_is_refused_after_a_restart() {
    let mut node = Node::start();
    let (_flows, flows) = node.map("flows", 1);
    let mut wanted = Wanted::new("volume", &node.target("pod")).read("flows", flows);
    wanted.0.request = "one".to_owned();
    node.publish(&wanted).unwrap();
    node.stop_by(Signal::KILL);
    node.start_pinner(&[]);

    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);
    wanted.0.request = "two".to_owned();
    assert_refused(node.publish(&wanted.renew()), Code::AlreadyExists, &["another request"]);
}

fn no_process_in_the_pod_changes_a_mark(node: &Node) {
    // What container runtimes give to uid 0 by default.
    let usual = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::MKNOD
        | CapabilitySet::SETFCAP;
    for volume in volumes(node) {
        let target = volume.target();
        // The times of the file to be imitated, and arbitrary ones.
        let stat = rustix::fs::statx(CWD, target.join("flows"), AtFlags::empty(), rustix::fs::StatxFlags::BASIC_STATS);
        let stolen = stat.map(|stat| {
            let time =
                |time: rustix::fs::StatxTimestamp| Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec.into() };
            Timestamps { last_access: time(stat.stx_atime), last_modification: time(stat.stx_mtime) }
        });
        let some = Timespec { tv_sec: 1, tv_nsec: 1 };
        let other = Timestamps { last_access: some, last_modification: some };
        for user in [User::root_with(usual), User::strongest_held()] {
            for times in [&stolen.clone().unwrap(), &other] {
                let touch = |path: &Path| user.run(|| rustix::fs::utimensat(CWD, path, times, AtFlags::empty()));
                assert_eq!(touch(&target), Err(Errno::ROFS), "{user:?}");
                assert_eq!(touch(&target.join("flows")), Err(Errno::ROFS), "{user:?}");
                // This file is on the writable filesystem, where times do not count.
                assert_eq!(touch(&target.join("limits")), Ok(()), "{user:?}");
            }
        }
        let posing = renewal(&volume, &[("flows", "flows", ReadOnly), ("limits", "flows", ReadWrite)]);
        assert_eq!(changes(node, &posing), [("limits".to_owned(), Kind::Removed)]);
    }
}

/// As an older pinner made it: its files have the times of their creation.
fn a_volume_from_before_marks_stays_as_it_is(node: &Node) {
    if !node.shows_sources("a volume that only its source names") {
        return;
    }
    let target = node.target("pod");
    fs::create_dir(&target).unwrap();
    let old = mount::detached(c"bpf", &[(c"source", c"csi-bpffs:volume"), (c"mode", c"0555")]).unwrap();
    let path = bpffs_pinner::sys::path::through_descriptor(old.as_fd(), c"flows");
    bpffs_pinner::sys::bpf::pin(map::hash("flows", 1).as_fd(), &path).unwrap();
    rustix::fs::chmodat(&old, c"flows", Mode::from_raw_mode(0o444), AtFlags::empty()).unwrap();
    rustix::fs::chmodat(&old, c".", Mode::from_raw_mode(0o555), AtFlags::empty()).unwrap();
    mount::make_superblock_read_only(old.as_fd()).unwrap();
    mount::attach(old.as_fd(), CWD, &CString::new(target.to_str().unwrap()).unwrap()).unwrap();

    let mut wanted = renewal(&Wanted::new("volume", &target), &[("flows", "any", ReadWrite)]);
    "any".clone_into(&mut wanted.0.request);
    assert_eq!(node.publish(&wanted).unwrap(), Outcome::Unchanged);
    let several = renewal(&wanted, &[("flows", "any", ReadWrite), ("flows", "other", ReadWrite)]);
    assert_eq!(node.publish(&several).unwrap(), Outcome::Unchanged);
    assert_eq!(map::open_writable(&target.join("flows")).map(drop), Err(Errno::ROFS));
}
