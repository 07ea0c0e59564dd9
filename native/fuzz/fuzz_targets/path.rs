//! Paths from requests, resolved in a real directory with symbolic links that lead out: nothing outside is ever opened.
#![no_main]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bpffs_pinner::sys::path::{beneath, is_canonical, open_beneath};
use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;

/// A directory, and the path of `root` in it, where paths are resolved.
static TREE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = TempDir::new().expect("a directory for temporary files");
    let outside = directory.path().canonicalize().expect("its path");
    let root = outside.join("root");
    fs::create_dir_all(root.join("a/b/c")).expect("directories");
    fs::write(outside.join("secret"), "").and(fs::write(root.join("a/f"), "")).expect("files");
    for (to, link) in [("..", "u"), ("../..", "a/u"), ("/", "a/r"), ("../secret", "s"), ("b", "a/d"), ("l", "l")] {
        symlink(to, root.join(link)).expect("a link");
    }
    symlink("/proc/self/root", root.join("a/b/p")).expect("a link");
    (directory, root)
});

fuzz_target!(|path: &str| -> Corpus {
    let root = &TREE.1;
    let opened = open_beneath(root, Path::new(path));
    if let Ok(place) = &opened {
        let opened = fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd())).expect("a descriptor's path");
        assert!(opened.starts_with(root), "{path:?} leads to {opened:?}");
    }
    let whole = format!("{}/{path}", root.display());
    if is_canonical(&whole) {
        let relative = beneath(root, Path::new(&whole)).expect("what has one spelling lies where it seems to");
        assert_eq!(relative.to_str(), Some(path));
        // So it was opened as itself, or the kernel refused.
        if let Ok(place) = opened {
            let found = fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd())).expect("a descriptor's path");
            assert_eq!(found, root.join(path), "through a link");
        }
    }
    if path.contains('\0') { Corpus::Reject } else { Corpus::Keep }
});
