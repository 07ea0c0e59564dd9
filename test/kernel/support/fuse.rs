//! A filesystem whose server is of no use any more, as a network's may be.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::{self, JoinHandle};

use rustix::mount::{MountFlags, mount};

/// What the server was asked, as opcodes of FUSE.
pub type Asked = JoinHandle<Vec<u32>>;

/// Mounts one at `target`, until it is unmounted; `None` where that cannot be. Whoever asks it for anything waits until it is known
/// that somebody did, and the server has gone for good.
///
/// <https://www.kernel.org/doc/html/latest/filesystems/fuse/fuse.html>, `include/uapi/linux/fuse.h`
pub fn silent(target: &Path) -> Option<Asked> {
    let device = mount_at(target)?;
    Some(thread::spawn(move || first_question(device).map(|(opcode, _)| vec![opcode]).unwrap_or_default()))
}

/// As [`silent`], but that the server stays and never answers: whoever asks cannot be killed until what is given back is dropped.
pub fn hung(target: &Path) -> Option<Hung> {
    let device = mount_at(target)?;
    Some(Hung(Some(thread::spawn(move || first_question(device).map(|(_, device)| device)))))
}

/// The server's end of a filesystem.
pub struct Hung(Option<JoinHandle<Option<File>>>);

impl Drop for Hung {
    fn drop(&mut self) {
        // The thread ends with the first question.
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

/// Answers what the kernel asks first; the opcode of the question after that, and the device, without an answer to it.
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
