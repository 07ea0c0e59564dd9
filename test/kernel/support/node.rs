//! A miniature node: a kubelet's directory, a bpffs with pins, and a pinner, in a mount namespace that ends with the
//! test.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bpffs_pinner::api;
use bpffs_pinner::kubelet::Kubelet;
use bpffs_pinner::probe::probe;
use bpffs_pinner::server::Service;
use bpffs_pinner::source::Sources;
use bpffs_pinner::store::{Limits, Store};
use bpffs_pinner::transport;
use bpffs_pinner::tree::compose::Composer;
use bpffs_pinner::volume::Publisher;
use bpffs_pinner::watchdog::Watchdog;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

use super::client::Client;
use super::{eventually, map, mounts, skipped, wanted};

/// As good as none.
pub const NO_LIMITS: Limits = Limits { maps: 1 << 20, memory: 1 << 40, workspaces: 1 << 20 };

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    client: Option<Client>,
    pinner: Pinner,
    /// Has everything else.
    pub root: PathBuf,
    pub kubelet: PathBuf,
    /// A bpffs, the only pin root.
    pub pins: PathBuf,
    pub store: PathBuf,
    pub socket: PathBuf,
    _directory: TempDir,
}

enum Pinner {
    None,
    Process(Child),
    Thread { stop: Option<tokio::sync::oneshot::Sender<()>>, thread: Option<JoinHandle<()>> },
}

impl Node {
    /// With the real pinner process.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more flags.
    pub fn start_with(flags: &[&str]) -> Self {
        let mut node = Self::without_pinner();
        node.start_pinner(flags);
        node
    }

    /// With the service on a thread of this process, composing as on kernels before 6.15.
    pub fn composing_in_namespace() -> Self {
        let mut node = Self::without_pinner();
        let service = Service::new(node.publisher(Composer::in_namespace().unwrap()), probe(), Watchdog::default());
        let listener = UnixListener::bind(&node.socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serve = async {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            transport::serve(service, listener, 0, async { drop(stopped.await) }).await.unwrap();
        };
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
        });
        node.pinner = Pinner::Thread { stop: Some(stop), thread: Some(thread) };
        node.client = Some(Client::new(&node.socket));
        node
    }

    /// Without a pinner.
    pub fn without_pinner() -> Self {
        // SAFETY: nothing in this process relies on the working directory, which unsharing mounts also unshares.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("these tests are to be run as root");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let directory = TempDir::with_prefix("bpffs-").unwrap();
        let root = directory.path().canonicalize().unwrap();
        mounts::tmpfs(&root);
        let [kubelet, pins, store] = ["kubelet", "pins", "store"].map(|name| root.join(name));
        for directory in [&kubelet.join("pods"), &pins, &store] {
            fs::create_dir_all(directory).unwrap();
        }
        mounts::bpffs(&pins);
        let socket = root.join("pinner.sock");
        Self { client: None, pinner: Pinner::None, root, kubelet, pins, store, socket, _directory: directory }
    }

    /// What the service consists of, for tests that call it directly.
    pub fn publisher(&self, composer: Composer) -> Publisher {
        let store = Store::open_or_mount(self.store.clone(), NO_LIMITS).unwrap();
        let sources = Sources::new(vec![self.pins.clone()], store);
        Publisher::new(Kubelet::open(&self.kubelet, None).unwrap(), sources, composer)
    }

    /// The command that starts the pinner, with root as its peer.
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bpffs-pinner"));
        command.env_clear().arg("--socket").arg(&self.socket).arg("--kubelet-dir").arg(&self.kubelet);
        command.arg("--store-dir").arg(&self.store).arg("--pin-root").arg(&self.pins);
        if !flags.contains(&"--peer-uid") {
            command.args(["--peer-uid", "0"]);
        }
        command.args(flags).stderr(File::options().create(true).append(true).open(self.log()).unwrap());
        let die_with_the_test = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
        // SAFETY: between fork and exec only one system call is made.
        unsafe { command.pre_exec(die_with_the_test) };
        command
    }

    /// Starts the pinner, and waits until it serves.
    pub fn start_pinner(&mut self, flags: &[&str]) {
        let command = self.command(flags);
        self.start_as(command);
    }

    /// As [`Node::start_pinner`], with the test's own command.
    pub fn start_as(&mut self, mut command: Command) {
        let mut child = command.spawn().unwrap();
        let start = Instant::now();
        while std::os::unix::net::UnixStream::connect(&self.socket).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the pinner ended with {status}: {}", fs::read_to_string(self.log()).unwrap());
            }
            assert!(start.elapsed() < PATIENCE, "the pinner does not serve");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.pinner = Pinner::Process(child);
        self.client = Some(Client::new(&self.socket));
    }

    /// The file that the pinner's log goes to.
    pub fn log(&self) -> PathBuf {
        self.root.join("pinner.log")
    }

    /// A value of `/proc/PID/status` in KiB: `VmRSS`, `VmHWM`.
    pub fn memory(&self, figure: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    pub fn pid(&self) -> Pid {
        match &self.pinner {
            Pinner::Process(child) => Pid::from_child(child),
            _ => panic!("the pinner is no process here"),
        }
    }

    /// After `SIGSTOP`, waits until all threads are stopped: the kernel stops one after the other.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
        if signal == Signal::STOP {
            eventually(|| self.is_stopped());
        }
    }

    fn is_stopped(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid().as_raw_nonzero())).unwrap();
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok())
            .all(|stat| stat.contains(") T "))
    }

    /// Ends the pinner by a signal, and waits for it.
    pub fn stop_by(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    /// Waits until the pinner ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let Pinner::Process(mut child) = std::mem::replace(&mut self.pinner, Pinner::None) else { unreachable!() };
        self.client = None;
        child.wait().unwrap()
    }

    pub fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// Whether the pinner found a feature on this kernel; if not, reports `test` as skipped.
    pub fn has(&self, feature: &str, test: &str) -> bool {
        let features = self.client().node().unwrap().features;
        let found = features.iter().find(|found| found.name == feature).expect("a known feature");
        if !found.available {
            skipped(test, &found.description);
        }
        found.available
    }

    /// Whether the mount table shows the source of a bpffs; if not, reports `test` as skipped.
    pub fn shows_sources(&self, test: &str) -> bool {
        let shows = mounts::at(&self.store).iter().any(|mount| mount.source == "csi-bpffs-store");
        if !shows {
            skipped(test, "this kernel shows no source of a bpffs");
        }
        shows
    }

    /// The target of a pod's only volume. Its parent exists.
    pub fn target(&self, pod: &str) -> PathBuf {
        self.pod(pod, "volume")
    }

    /// The target of a pod's volume, as the kubelet has it. Its parent exists.
    pub fn pod(&self, pod: &str, volume: &str) -> PathBuf {
        let parent = self.kubelet.join("pods").join(pod).join("volumes/kubernetes.io~csi").join(volume);
        fs::create_dir_all(&parent).unwrap();
        parent.join("mount")
    }

    /// Where a map that belongs to the node is kept.
    pub fn created(&self, name: &str) -> PathBuf {
        self.store.join("created").join(name)
    }

    /// Where something of a persistent volume is kept.
    pub fn kept_at(&self, volume_id: &str) -> PathBuf {
        self.store.join("volumes").join(volume_id)
    }

    /// Pins an object in the pin root, and returns its source.
    pub fn pin(&self, name: &str, object: BorrowedFd<'_>) -> api::Source {
        let path = self.pins.join(name);
        map::pin(object, &path).unwrap();
        wanted::pinned(&path)
    }

    /// A hash map pinned under its name, and its source.
    pub fn map(&self, name: &str, value: u64) -> (std::os::fd::OwnedFd, api::Source) {
        let map = map::hash(name, value);
        let source = self.pin(name, map.as_fd());
        (map, source)
    }
}

impl std::ops::Deref for Node {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.client = None;
        match &mut self.pinner {
            Pinner::None => {}
            Pinner::Process(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Pinner::Thread { stop, thread } => {
                drop(stop.take());
                let _ = thread.take().map(JoinHandle::join);
            }
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(5).collect();
            eprintln!("the pinner's last lines, latest first: {last:#?}");
        }
        detach_quietly(&self.root);
    }
}

fn detach_quietly(root: &Path) {
    let _ = rustix::mount::unmount(root, rustix::mount::UnmountFlags::DETACH);
}
