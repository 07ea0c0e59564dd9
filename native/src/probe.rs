//! What this kernel can do, found by trying and not by its version.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use rustix::thread::{Gid, Uid};

use crate::sys::bpf::{self, MapDefinition};
use crate::sys::path::{self, through_descriptor};
use crate::sys::{Context, Result, mount, statmount};
use crate::tree::compose::composes_detached;
use crate::tree::private_namespace::enter_private_namespace;

/// Something that a kernel may be able to do.
#[derive(Clone, Debug)]
pub struct Feature {
    /// A fixed name, for programs.
    pub name: &'static str,
    /// Whether it works, or the kernel's error.
    pub outcome: std::result::Result<(), String>,
    /// For people: what it is for.
    pub purpose: &'static str,
    /// For people: what follows without it.
    pub otherwise: &'static str,
    /// Whether every volume needs it.
    pub required: bool,
}

impl Feature {
    /// The purpose; if the feature is missing, also what follows and the error.
    #[must_use]
    pub fn description(&self) -> String {
        match &self.outcome {
            Ok(()) => self.purpose.to_owned(),
            Err(why) => format!("{}; without it {} ({why})", self.purpose, self.otherwise),
        }
    }
}

/// A map to try things with.
const SAMPLE: MapDefinition<'static> =
    MapDefinition { kind: 2, key_size: 4, value_size: 4, max_entries: 1, flags: 0, name: "csi_bpffs_probe" };

/// Tries everything and leaves nothing behind. Needs what [`Nobody::start`] needs.
#[must_use]
pub fn probe() -> Vec<Feature> {
    Nobody::start().map(Nobody::probe).unwrap_or_default()
}

/// A thread that runs as an unprivileged user, to try what such a process may do. Only starting it takes `CAP_SETUID`
/// and `CAP_SETGID`, which can be dropped afterwards.
#[derive(Debug)]
pub struct Nobody {
    volume: SyncSender<OwnedFd>,
    outcome: Receiver<Result<()>>,
}

impl Nobody {
    /// Starts the thread and waits until it has dropped its privileges.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start() -> Result<Self> {
        let (volume, volumes) = sync_channel::<OwnedFd>(1);
        let (tell, outcome) = sync_channel(1);
        let (ready, is_ready) = sync_channel::<()>(0);
        let look = move || {
            let became = become_nobody();
            drop(ready);
            if let Ok(volume) = volumes.recv() {
                let _ = tell.send(became.and_then(|()| look_up(volume.as_fd())));
            }
        };
        thread::Builder::new().spawn(look).context("clone", || "thread".to_owned())?;
        let _ = is_ready.recv();
        Ok(Self { volume, outcome })
    }

    fn tries_a_volume(&self) -> Result<()> {
        let gone = || "the thread that has become nobody".to_owned();
        self.volume.send(sample_volume()?).map_err(|_| Errno::PIPE).context("send", gone)?;
        self.outcome.recv().map_err(|_| Errno::PIPE).context("recv", gone)?
    }

    /// Tries everything with the calling thread's capabilities and leaves nothing behind.
    #[must_use]
    pub fn probe(self) -> Vec<Feature> {
        features(self.tries_a_volume())
    }
}

fn features(as_nobody: Result<()>) -> Vec<Feature> {
    let feature = |name, required, tried: Result<()>, purpose, otherwise| Feature {
        name,
        required,
        outcome: tried.map_err(|error| error.to_string()),
        purpose,
        otherwise,
    };
    vec![
        feature(
            "read-only-superblock",
            true,
            read_only_superblock(),
            "a bpffs is built detached, filled and made read-only",
            "no volume can be made: Linux 5.15 or newer is needed",
        ),
        feature(
            "unprivileged-maps",
            false,
            as_nobody,
            "a process without capabilities reads a map by its pin",
            "a pod needs CAP_BPF, against which read-only does not hold: take Linux 5.19 or newer",
        ),
        feature(
            "compose-detached",
            false,
            composes_detached(),
            "a volume is put together before it is attached",
            "a private mount namespace does that, some tenths of a millisecond slower (Linux 6.15 has it)",
        ),
        feature(
            "mount-source",
            false,
            mount_source(),
            "a mount says at once which volume it is",
            "the whole mount table is read to look at a pod's other volumes (Linux 6.13 has it)",
        ),
        feature(
            "mount-beneath",
            false,
            on_own_thread(mount_beneath),
            "a new generation of a volume takes the place of the last",
            "the first one is seen again for a moment (Linux 6.5 has it)",
        ),
        feature(
            "delegation",
            false,
            delegation(),
            "a pod with a user namespace may get BPF tokens",
            "no delegation can be published: Linux 6.9 or newer is needed",
        ),
    ]
}

/// The required features that are missing, if any.
#[must_use]
pub fn missing(features: &[Feature]) -> Option<String> {
    let missing: Vec<_> = features
        .iter()
        .filter(|feature| feature.required)
        .filter_map(|feature| Some(format!("{} ({})", feature.name, feature.outcome.as_ref().err()?)))
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

fn sample_volume() -> Result<OwnedFd> {
    let map = bpf::create_map(SAMPLE)?;
    let volume = mount::detached(c"bpf", &[(c"mode", c"0755")])?;
    bpf::pin(map.as_fd(), &through_descriptor(volume.as_fd(), c"map"))?;
    rustix::fs::chmodat(volume.as_fd(), c"map", Mode::from_raw_mode(0o444), AtFlags::empty())
        .context("chmod", String::new)?;
    mount::make_superblock_read_only(volume.as_fd())?;
    Ok(volume)
}

fn read_only_superblock() -> Result<()> {
    let volume = sample_volume()?;
    let path = through_descriptor(volume.as_fd(), c"map");
    bpf::open_pin(&path)?;
    match bpf::open_pin_writable(&path) {
        Err(_) => Ok(()),
        Ok(_) => Err(Errno::ROFS).context("bpf(OBJ_GET, rw)", || "is not refused".to_owned()),
    }
}

fn become_nobody() -> Result<()> {
    const NOBODY: u32 = 65534;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    rustix::thread::set_thread_groups(&[]).context("setgroups", String::new)?;
    rustix::thread::set_thread_res_gid(group, group, group).context("setresgid", String::new)?;
    rustix::thread::set_thread_res_uid(user, user, user).context("setresuid", String::new)
}

fn look_up(volume: BorrowedFd<'_>) -> Result<()> {
    let map = bpf::open_pin(&through_descriptor(volume, c"map"))?;
    bpf::lookup_first::<4>(map.as_fd()).map(|_| ())
}

/// Tries whether a bpffs takes the options that a token is made from.
///
/// # Errors
/// `ENOSYS` before Linux 6.9, which ignores options of a bpffs that it does not know.
pub fn delegation() -> Result<()> {
    const OPTION: &CStr = c"delegate_cmds";
    rustix::fs::stat(c"/proc/self/ns/user").context("stat", || "/proc/self/ns/user".to_owned())?;
    mount::detached(c"bpf", &[(c"mode", c"0700"), (OPTION, c"0x1")])?;
    match mount::detached(c"bpf", &[(c"mode", c"0700"), (OPTION, c"no number")]) {
        Err(_) => Ok(()),
        Ok(_) => Err(Errno::NOSYS).context("fsconfig(delegate_cmds)", || "bpf".to_owned()),
    }
}

fn mount_source() -> Result<()> {
    let status = statmount::status(path::open_beneath("/".as_ref(), "".as_ref())?.as_fd())?;
    status.source.map(|_| ()).ok_or(Errno::NOSYS).context("statmount(source)", String::new)
}

fn mount_beneath() -> Result<()> {
    let root = enter_private_namespace()?;
    for _ in 0..2 {
        mount::attach(mount::detached(c"tmpfs", &[])?.as_fd(), root.as_fd(), c"tree")?;
    }
    let top = path::open_entry(root.as_fd(), c"tree")?;
    let top = top.ok_or(Errno::NOENT).context("open", || "tree".to_owned())?;
    mount::attach_beneath(mount::detached(c"tmpfs", &[])?.as_fd(), top.as_fd())
}

/// Runs a probe that changes its thread's credentials or mount namespace.
fn on_own_thread(probe: fn() -> Result<()>) -> Result<()> {
    let failed = || Err(Errno::CHILD).context("clone", || "thread".to_owned());
    thread::spawn(probe).join().unwrap_or_else(|_| failed())
}
