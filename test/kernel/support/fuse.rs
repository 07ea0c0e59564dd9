//! A filesystem whose server is useless, as a network filesystem's may be.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::{self, JoinHandle};

use rustix::mount::{MountFlags, mount};

/// The requests that the server got, as FUSE opcodes.
pub type Asked = JoinHandle<Vec<u32>>;

/// Mounts one at `target` until it is unmounted; `None` without FUSE. A request to it hangs until the server has noted
/// the request and gone for good.
///
/// <https://www.kernel.org/doc/html/latest/filesystems/fuse/fuse.html>, `include/uapi/linux/fuse.h`
pub fn silent(target: &Path) -> Option<Asked> {
    let device = mount_at(target)?;
    Some(thread::spawn(move || first_question(device).map(|(opcode, _)| vec![opcode]).unwrap_or_default()))
}

/// As [`silent`], but the server stays and never answers: whoever sends a request cannot be killed until the result is
/// dropped.
pub fn hung(target: &Path) -> Option<Hung> {
    let device = mount_at(target)?;
    Some(Hung(Some(thread::spawn(move || first_question(device).map(|(_, device)| device)))))
}

/// The server of a hung filesystem.
pub struct Hung(Option<JoinHandle<Option<File>>>);

impl Drop for Hung {
    fn drop(&mut self) {
        // The thread ends with the first request.
        drop(self.0.take().map(JoinHandle::join));
    }
}

fn mount_at(target: &Path) -> Option<File> {
    let device = File::options().read(true).write(true).open("/dev/fuse").ok()?;
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let data = std::ffi::CString::new(data).unwrap();
    mount("silent", target, "fuse", MountFlags::empty(), data.as_c_str()).ok()?;
    Some(device)
}

/// Answers the kernel's INIT. Returns the opcode of the next request, unanswered, and the device.
fn first_question(mut device: File) -> Option<(u32, File)> {
    const INIT: u32 = 26;
    let mut request = vec![0; 1 << 17];
    while device.read(&mut request).is_ok() {
        let opcode = u32::from_ne_bytes(request[4..8].try_into().unwrap());
        if opcode != INIT {
            return Some((opcode, device));
        }
        // struct fuse_out_header and struct fuse_init_out, version 7.31.
        let mut answer = [0_u8; 16 + 64];
        answer[0..4].copy_from_slice(&80_u32.to_ne_bytes());
        answer[8..16].copy_from_slice(&request[8..16]);
        answer[16..20].copy_from_slice(&7_u32.to_ne_bytes());
        answer[20..24].copy_from_slice(&31_u32.to_ne_bytes());
        device.write_all(&answer).unwrap();
    }
    None
}
