//! Maps that programs in the kernel use.

use std::os::fd::{AsFd, OwnedFd};

use bpffs_pinner::source::Index;
use tonic::Code;

use crate::sources_pinned::assert_unusable;
use crate::support::node::Node;
use crate::support::wanted::{Wanted, loaded, loaded_by_id};
use crate::support::{map, program, unique};

/// A map and a program that uses it, with their names.
fn loaded_program(value: i32) -> (OwnedFd, OwnedFd, String, String) {
    let (map_name, program_name) = (unique("map"), unique("prog"));
    let map = map::hash(&map_name, 1);
    let program = program::writer(&program_name, map.as_fd(), value).unwrap();
    (map, program, map_name, program_name)
}

#[test]
fn a_map_is_found_by_its_name_its_program_and_its_tag() {
    let node = Node::start();
    let (map, program, map_name, program_name) = loaded_program(1);
    let tag = program::tag(program.as_fd());
    for (program_name, tag) in [
        ("", ""),
        (program_name.as_str(), ""),
        ("", tag.as_str()),
        (&program_name, &tag),
        ("", &tag.to_ascii_uppercase()),
    ] {
        let found = node.describe(loaded(&map_name, program_name, tag)).unwrap();
        assert_eq!(found.id, map::id(map.as_fd()), "program {program_name:?}, tag {tag:?}");
    }
    let wanted = Wanted::new("volume", &node.target("pod")).write("flows", loaded(&map_name, &program_name, ""));
    node.publish(&wanted).unwrap();
    let seen = map::open_writable(&wanted.target().join("flows")).unwrap();
    map::update(seen.as_fd(), 1, 2).unwrap();
    assert_eq!(map::lookup(map.as_fd(), 1), Ok(2));
}

#[test]
fn a_map_that_is_not_loaded() {
    let node = Node::start();
    let (_map, program, map_name, program_name) = loaded_program(2);
    let tag = program::tag(program.as_fd());
    let other = unique("other");
    for (map, program, tag, text) in [
        (&*other, "", "", format!("no map {other:?} is loaded yet")),
        (&other, &program_name, "", format!("no map {other:?} of a program {program_name:?} is loaded yet")),
        (&map_name, &other, "", format!("no map {map_name:?} of a program {other:?} is loaded yet")),
        (&map_name, "", "0123456789abcdef", "with tag 0123456789abcdef is loaded yet".to_owned()),
        (&map_name, &other, &tag, format!("of a program {other:?} with tag {tag} is loaded yet")),
    ] {
        assert_unusable(&node, &loaded(map, program, tag), Code::Unavailable, &[&text, "start the program"]);
    }
    drop(program);
}

#[test]
fn an_ambiguous_name_lists_the_candidates() {
    let node = Node::start();
    let (map_name, program_name) = (unique("map"), unique("prog"));
    let maps = [map::hash(&map_name, 1), map::hash(&map_name, 2)];
    let programs = [3, 4].map(|value| {
        let map = &maps[usize::try_from(value - 3).unwrap()];
        program::writer(&program_name, map.as_fd(), value).unwrap()
    });
    let [first, second] = [0, 1].map(|index| format!("id {} (hash, 16 entries", map::id(maps[index].as_fd())));
    let several = format!("2 maps in the kernel fit map {map_name:?}");
    let choose = "name the program or its tag to choose one";

    let by_name = loaded(&map_name, "", "");
    assert_unusable(&node, &by_name, Code::FailedPrecondition, &[&several, &first, &second, choose]);
    let by_program = loaded(&map_name, &program_name, "");
    let tags = programs.each_ref().map(|program| program::tag(program.as_fd()));
    let parts = [&several, &first, &second, choose, &program_name, &tags[0], &tags[1]];
    assert_unusable(&node, &by_program, Code::FailedPrecondition, &parts);

    assert_ne!(tags[0], tags[1]);
    let by_tag = node.describe(loaded(&map_name, &program_name, &tags[1])).unwrap();
    assert_eq!(by_tag.id, map::id(maps[1].as_fd()));
}

#[test]
fn a_program_by_its_id_is_held_against_its_name_and_tag() {
    let node = Node::start();
    let (map_name, program_name) = (unique("map"), unique("prog"));
    let maps = [map::hash(&map_name, 1), map::hash(&map_name, 2)];
    let programs =
        [(7, &maps[0]), (8, &maps[1])].map(|(value, map)| program::writer(&program_name, map.as_fd(), value).unwrap());
    let ids = programs.each_ref().map(|program| program::id(program.as_fd()));
    let tag = program::tag(programs[1].as_fd());
    for (program, tag) in [(&*program_name, ""), ("", &*tag), (&program_name, &tag)] {
        let found = node.describe(loaded_by_id(&map_name, program, tag, ids[1])).unwrap();
        assert_eq!(found.id, map::id(maps[1].as_fd()));
    }

    let other = unique("other");
    for (source, text) in [
        (loaded_by_id(&map_name, &other, "", ids[0]), format!("of a program {other:?} with id {} is loaded", ids[0])),
        (loaded_by_id(&map_name, "", &tag, ids[0]), format!("with id {} with tag {tag} is loaded yet", ids[0])),
        (loaded_by_id(&map_name, &program_name, "", u32::MAX - 1), "is loaded yet".to_owned()),
    ] {
        assert_unusable(&node, &source, Code::Unavailable, &[&text]);
    }
    let unguarded = loaded_by_id(&map_name, "", "", ids[0]);
    assert_unusable(&node, &unguarded, Code::InvalidArgument, &["source.loaded.program_id", "used again"]);
}

#[test]
fn one_map_of_several_programs_is_not_ambiguous() {
    let node = Node::start();
    let (map_name, program_name) = (unique("map"), unique("prog"));
    let map = map::hash(&map_name, 1);
    let _programs = [5, 6].map(|value| program::writer(&program_name, map.as_fd(), value).unwrap());
    assert_eq!(node.describe(loaded(&map_name, &program_name, "")).unwrap().id, map::id(map.as_fd()));
}

/// Maps are pinned from read-only descriptors, so that a security module that forbids write access to one map does not
/// make all lookups fail.
#[test]
fn maps_are_opened_by_their_id_for_reading() {
    let map = map::hash("flows", 1);
    let opened = bpffs_pinner::sys::bpf::map_by_id(map::id(map.as_fd())).unwrap().unwrap();
    assert_eq!(map::lookup(opened.as_fd(), 1), Ok(1));
    assert_eq!(map::update(opened.as_fd(), 1, 2), Err(rustix::io::Errno::PERM));
}

#[test]
fn what_was_seen_is_not_looked_at_again() {
    const MANY: usize = 200;
    let (index, name) = (Index::default(), unique("prog"));
    let programs: Vec<_> = (0..MANY).map(|_| program::idle(&name)).collect();
    let find = || index.programs(|found, _| found == name).unwrap();
    let first = find();
    assert_eq!(first.ids, programs.iter().map(|program| program::id(program.as_fd())).collect::<Vec<_>>());
    assert!(first.looked_at >= MANY);
    // Other tests load a few programs meanwhile.
    let again = find();
    assert_eq!(again.ids, first.ids);
    assert!(again.looked_at < MANY / 2, "{}", again.looked_at);

    let map_name = unique("map");
    let maps: Vec<_> = (0..MANY).map(|_| map::create(map::ARRAY, &map_name, 0)).collect();
    assert!(index.maps(&map_name).unwrap().looked_at >= MANY);
    let again = index.maps(&map_name).unwrap();
    assert_eq!((again.ids.len(), again.looked_at < MANY / 2), (maps.len(), true));
}

#[test]
fn a_program_that_is_loaded_anew_is_found_and_the_old_one_is_not() {
    let node = Node::start();
    let (map_name, program_name) = (unique("map"), unique("prog"));
    let source = loaded(&map_name, &program_name, "");
    assert_unusable(&node, &source, Code::Unavailable, &["is loaded yet"]);
    for round in 0..3 {
        let map = map::hash(&map_name, 1);
        let program = program::writer(&program_name, map.as_fd(), round).unwrap();
        assert_eq!(node.describe(source.clone()).unwrap().id, map::id(map.as_fd()));
        drop(program);
        // A program is freed shortly after its last reference is gone.
        while node.describe(source.clone()).is_ok() {
            std::thread::yield_now();
        }
        assert_unusable(&node, &source, Code::Unavailable, &["is loaded yet"]);
    }
}

#[test]
fn names_that_no_map_can_have() {
    let node = Node::start();
    let sixteen = "abcdefghijklmnop";
    for (source, part) in [
        (loaded(sixteen, "", ""), "source.loaded.map: the kernel keeps 15 characters"),
        (loaded(sixteen, "", ""), "\"abcdefghijklmno\""),
        (loaded("map", sixteen, ""), "source.loaded.program: the kernel keeps 15 characters"),
        (loaded("", "", ""), "source.loaded.map: must not be empty"),
        (loaded("map", "", "0123"), "source.loaded.program_tag: \"0123\" must have 16 hexadecimal digits"),
        (loaded("map", "", "0123456789abcdeg"), "source.loaded.program_tag: "),
    ] {
        assert_unusable(&node, &source, Code::InvalidArgument, &[part]);
    }
}
