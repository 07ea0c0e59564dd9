//! A mount table with anything that pods can bring into it: directory names, sources.
#![no_main]

use bpffs_pinner::sys::mountinfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|table: &[u8]| {
    for row in table.split(|&byte| byte == b'\n').filter_map(mountinfo::row) {
        // Unescaping never makes a path longer.
        assert!(row.target.as_os_str().len() <= table.len());
    }
});
