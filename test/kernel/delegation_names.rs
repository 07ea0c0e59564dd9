//! The names of what can be delegated, against the kernel's own: a bpffs takes names, too, and shows what it was given.

use std::ffi::CString;
use std::path::Path;

use bpffs_pinner::delegation::names::Table::{self, AttachTypes, Commands, MapTypes, ProgramTypes};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::support::node::Node;
use crate::support::{mounts, skipped};

/// Each with its mount option, and its name in the catalog.
const KINDS: [(Table, &str, &str); 4] = [
    (Commands, "delegate_cmds", "commands"),
    (MapTypes, "delegate_maps", "mapTypes"),
    (ProgramTypes, "delegate_progs", "programTypes"),
    (AttachTypes, "delegate_attachs", "attachTypes"),
];

/// What a bpffs with this option says of it.
fn shown(at: &Path, option: &str, value: &str) -> Result<String> {
    let wanted = CString::new(format!("{option}={value}")).unwrap();
    mount("bpf", at, "bpf", MountFlags::empty(), wanted.as_c_str())?;
    let options = mounts::at(at).remove(0).super_options;
    unmount(at, UnmountFlags::empty())?;
    let shown = options.split(',').find_map(|shown| shown.strip_prefix(option)?.strip_prefix('='));
    // An old kernel ignores options that it does not know.
    shown.map(str::to_owned).ok_or(Errno::INVAL)
}

#[test]
fn numbers_are_the_kernels() {
    let node = Node::without_pinner();
    let at = &node.root.join("names");
    std::fs::create_dir(at).unwrap();
    if shown(at, "delegate_cmds", "map_create").is_err() {
        return skipped("the kernel's names", "this kernel has no tokens, or no BTF");
    }
    for (table, option, _) in KINDS {
        let known = (0..u64::BITS).filter_map(|number| Some((number, table.name(number)?)));
        let mut compared = 0;
        for (number, name) in known {
            let value = format!("{:#x}", 1_u64 << number);
            let by_number = shown(at, option, &value);
            match shown(at, option, name) {
                Ok(by_name) => {
                    assert_eq!(Ok(by_name), by_number, "{option}: {name} is not {number}");
                    compared += 1;
                }
                // Of a newer kernel: this one has no name for the number, either, and may not show it.
                Err(errno) => {
                    assert_eq!(errno, Errno::INVAL, "{option}: {name}");
                    assert!([Ok(value), Err(Errno::INVAL)].contains(&by_number), "{option}: {name}: {by_number:?}");
                }
            }
        }
        assert!(compared > 30, "{option}: {compared}");
    }
}

#[test]
fn the_catalog_has_the_same_names() {
    let source = include_str!("../../src/maps/delegation-names.ts");
    for (table, _, field) in KINDS {
        let (_, list) = source.split_once(&format!("const {field} = {{")).unwrap();
        let (list, _) = list.split_once('}').unwrap();
        let mut names: Vec<_> = list.split('\'').skip(1).step_by(2).collect();
        for name in &names {
            assert!(table.number(name).is_some(), "{field}: the pinner does not know {name}");
        }
        names.sort_by_key(|name| table.number(name));
        names.dedup();
        let known: Vec<_> = (0..u64::BITS).filter_map(|number| table.name(number)).collect();
        // Of the commands, those for which the kernel asks the token.
        assert!(names == known || table == Commands, "{field}: {names:?}\nthe pinner: {known:?}");
        assert!(!names.is_empty());
    }
}
