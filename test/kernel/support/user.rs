//! Other users, each on a thread that becomes one.

use std::thread;

use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, capabilities, set_capabilities, set_keep_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

/// A process's credentials.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub capabilities: CapabilitySet,
}

impl User {
    pub const NOBODY: Self = Self::plain(65534);

    /// Without any capability.
    pub const fn plain(id: u32) -> Self {
        Self { uid: id, gid: id, capabilities: CapabilitySet::empty() }
    }

    /// A loader in a pod: an ordinary user of a group, with `CAP_BPF`.
    pub const fn loader(gid: u32) -> Self {
        Self { uid: 65534, gid, capabilities: CapabilitySet::BPF }
    }

    /// Uid 0 with exactly these capabilities.
    pub const fn root_with(capabilities: CapabilitySet) -> Self {
        Self { uid: 0, gid: 0, capabilities }
    }

    /// Uid 0 with all of this machine's capabilities but the two that no volume can hold.
    pub fn strongest_held() -> Self {
        let all = capabilities(None).unwrap().permitted;
        Self::root_with(all - CapabilitySet::SYS_ADMIN - CapabilitySet::BPF)
    }

    /// Runs `work` on a thread as this user.
    pub fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        let joined = thread::scope(|scope| {
            let become_and_work = || {
                self.become_it();
                work()
            };
            scope.spawn(become_and_work).join()
        });
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn become_it(self) {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_keep_capabilities(true).unwrap();
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(gid, gid, gid).unwrap();
        set_thread_res_uid(uid, uid, uid).unwrap();
        let (effective, permitted) = (self.capabilities, self.capabilities);
        let sets = CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() };
        set_capabilities(None, sets).unwrap();
    }
}
