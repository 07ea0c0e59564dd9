//! The mount table of the calling thread, and mounts that tests need.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive, mount_remount};

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u32,
    pub root: String,
    pub target: PathBuf,
    pub options: String,
    pub filesystem: String,
    pub source: String,
    pub super_options: String,
}

/// The mounts at and beneath `directory`, in the order of the table. Not `/proc/self`, which is the main thread's.
pub fn beneath(directory: &Path) -> Vec<Mount> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    table.lines().map(parse).filter(|mount| mount.target.starts_with(directory)).collect()
}

/// The mounts stacked at `target`, the lowest first.
pub fn at(target: &Path) -> Vec<Mount> {
    beneath(target).into_iter().filter(|mount| mount.target == target).collect()
}

fn parse(line: &str) -> Mount {
    let fields: Vec<_> = line.split(' ').collect();
    let dash = fields.iter().position(|field| *field == "-").unwrap();
    Mount {
        id: fields[0].parse().unwrap(),
        root: fields[3].to_owned(),
        target: PathBuf::from(fields[4]),
        options: fields[5].to_owned(),
        filesystem: fields[dash + 1].to_owned(),
        source: fields[dash + 2].to_owned(),
        super_options: fields[dash + 3].to_owned(),
    }
}

pub fn tmpfs(target: &Path) {
    mount("tmpfs", target, "tmpfs", MountFlags::empty(), c"mode=0755,size=4m").unwrap();
}

/// A bpffs as loaders have it at `/sys/fs/bpf`.
pub fn bpffs(target: &Path) {
    mount("bpf", target, "bpf", MountFlags::empty(), c"mode=0700").unwrap();
}

pub fn read_only_bind(source: &Path, target: &Path) {
    mount_bind(source, target).unwrap();
    mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, c"").unwrap();
}

/// A volume as a container sees it: a recursive bind mount, remounted writable, as a container runtime may do.
pub fn container_view(volume: &Path, view: &Path) {
    fs::create_dir_all(view).unwrap();
    mount_bind_recursive(volume, view).unwrap();
    mount_remount(view, MountFlags::BIND, c"").unwrap();
}

/// Everything visible at and beneath `directory`: mounts, and each file's type, mode, owner and content.
pub fn snapshot(directory: &Path) -> Vec<String> {
    let mut seen: Vec<_> = beneath(directory).iter().map(|mount| format!("{mount:?}")).collect();
    look(directory, &mut seen);
    seen
}

fn look(path: &Path, seen: &mut Vec<String>) {
    let stat = fs::symlink_metadata(path).unwrap();
    let kind = stat.file_type();
    let content = if kind.is_symlink() {
        fs::read_link(path).unwrap().display().to_string()
    } else if kind.is_file() || kind.is_char_device() {
        // Pins cannot be read; the inode number is enough.
        fs::read(path).map_or_else(|error| error.to_string(), |bytes| format!("{bytes:?}"))
    } else {
        String::new()
    };
    seen.push(format!("{} {:o} {}:{} {} {content}", path.display(), stat.mode(), stat.uid(), stat.gid(), stat.ino()));
    if kind.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for entry in entries {
            look(&entry, seen);
        }
    }
}
