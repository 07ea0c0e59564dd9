//! A mount table with whatever pods can bring into it: names of directories, sources.
#![no_main]

use bpffs_pinner::sys::mountinfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|table: &[u8]| {
    for row in table.split(|&byte| byte == b'\n').filter_map(mountinfo::row) {
        // Reading gives no more than there was.
        assert!(row.target.as_os_str().len() <= table.len());
    }
});
