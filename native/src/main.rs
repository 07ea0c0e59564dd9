//! `bpffs-pinner`: the privileged part of csi-driver-bpffs.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bpffs_pinner::config::{Command, Config};
use bpffs_pinner::delegation::{Delegator, Events, delegator};
use bpffs_pinner::helpers::Helpers;
use bpffs_pinner::kubelet::Kubelet;
use bpffs_pinner::log::Log;
use bpffs_pinner::ping::ping;
use bpffs_pinner::probe::{self, Nobody, probe};
use bpffs_pinner::server::Service;
use bpffs_pinner::source::Sources;
use bpffs_pinner::store::{Limits, Store};
use bpffs_pinner::tree::compose::Composer;
use bpffs_pinner::volume::Publisher;
use bpffs_pinner::watchdog::Watchdog;
use bpffs_pinner::{listen, lock, log, memory, peer_directory, privileges, transport};
use clap::Parser;
use landlock::RulesetStatus;
use rustix::thread::CapabilitySet;
use tokio::signal::unix::{SignalKind, signal};

/// `EX_USAGE` of sysexits(3): a restart does not help until the configuration changes.
const EXIT_USAGE: u8 = 64;
/// How long calls may take to finish after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);
/// The kernel serialises mounting, but those who unmount at the same time wait for the same RCU grace period. With more
/// threads than this, throughput grows no further.
const KERNEL_THREADS: usize = 8;

fn main() -> ExitCode {
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let text = error.to_string();
            return usage(text.lines().next().unwrap_or_default().trim_start_matches("error: "));
        }
    };
    if config.command == Some(Command::Delegate) {
        return delegator::run();
    }
    if config.command == Some(Command::Probe) {
        print_features();
        return ExitCode::SUCCESS;
    }
    if config.command == Some(Command::Ping) {
        return match ping(&config.socket) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                say(&problem);
                ExitCode::FAILURE
            }
        };
    }
    if let Err(problem) = config.validate() {
        return usage(&problem);
    }
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(problem)) => usage(&problem),
        Err(Failure::Other(problem)) => {
            say(&problem);
            ExitCode::FAILURE
        }
    }
}

fn usage(problem: &str) -> ExitCode {
    say(problem);
    ExitCode::from(EXIT_USAGE)
}

/// A failed write is ignored: stderr may be closed.
fn say(problem: &str) {
    let _ = writeln!(io::stderr(), "bpffs-pinner: {problem}");
}

enum Failure {
    Usage(String),
    Other(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.to_string())
    }
}

/// Drops every privilege that serving does not need, then serves.
fn start(config: Config) -> Result<(), Failure> {
    let kept = if config.network_maps { privileges::KEPT | CapabilitySet::NET_ADMIN } else { privileges::KEPT };
    let missing = privileges::missing(kept)?;
    if !missing.is_empty() || !rustix::process::geteuid().is_root() {
        let missing =
            if missing.is_empty() { String::new() } else { format!(", missing here: {}", missing.join(", ")) };
        return Err(Failure::Usage(format!("must be started as root with its capabilities{missing}")));
    }
    // Before threads are started and privileges dropped, all of which it would inherit.
    let delegator = probe::delegation()
        .ok()
        .map(|()| Delegator::start())
        .transpose()
        .map_err(|error| Failure::Other(tonic::Status::from(error).message().to_owned()))?;
    let nobody = Nobody::start()?;
    privileges::keep_only(kept)?;
    let reach = lock::reach()?;
    lock::size()?;
    // Threads inherit these restrictions, so none is started before.
    let log = log::start(config.log_level)?;
    let served = run(config, nobody, delegator, reach, log.clone());
    if let Err(Failure::Other(problem)) = &served {
        tracing::error!(error = problem, "stopped");
    }
    log.flush();
    served
}

fn run(
    config: Config,
    nobody: Nobody,
    delegator: Option<(Delegator, Events)>,
    reach: RulesetStatus,
    log: Log,
) -> Result<(), Failure> {
    let features = nobody.probe();
    for directory in &config.peer_dirs {
        peer_directory::give(directory, config.peer_uid)
            .map_err(|problem| Failure::Usage(format!("--peer-dir: {problem}")))?;
    }
    let limits =
        Limits { maps: config.created_maps_max, memory: config.created_memory_max, workspaces: config.workspaces_max };
    let sources = Sources::new(config.pin_roots, Store::open_or_mount(config.store_dir, limits)?);
    let kubelet = Kubelet::open(&config.kubelet_dir, config.driver_name)?;
    let (delegator, events) = delegator.unzip();
    let mut publisher = Publisher::new(kubelet, sources, Composer::new()?);
    publisher.delegator = delegator;
    let publisher = Arc::new(publisher);
    let watchdog = Watchdog::start(Duration::from_secs(config.hang_limit.into()), log.clone())?;
    let helpers =
        events.map(|events| Helpers { publisher: Arc::clone(&publisher), events, watchdog: watchdog.clone(), log });
    let service = Service::new(publisher, features, watchdog);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(KERNEL_THREADS).build()?;
    let served = runtime.block_on(serve(service, helpers, &config.socket, config.peer_uid, reach));
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(
    service: Service,
    helpers: Option<Helpers>,
    path: &Path,
    peer_uid: u32,
    reach: RulesetStatus,
) -> Result<(), Failure> {
    // Before the socket exists, so that no signal ends the process and leaves the socket behind.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (socket, listener) = listen::listen(path, peer_uid).map_err(|error| Failure::Usage(error.to_string()))?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let is_lost = AtomicBool::new(false);
    let drain = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            // Nobody can connect any more, and seccomp forbids a new socket.
            () = socket.gone() => is_lost.store(true, Ordering::Relaxed),
        }
        tracing::info!("stopping");
        let _ = stopping.send(());
    };
    lock::calls()?;
    helpers.map_or(Ok(()), Helpers::serve)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), peerUid = peer_uid, landlock = ?reach, "serving");
    tokio::spawn(memory::give_back());
    let server = transport::serve(service, listener, peer_uid, drain);
    tokio::select! {
        ended = server => ended?,
        () = async { let _ = stopped.await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("some calls did not finish in time");
        }
    }
    if is_lost.into_inner() {
        return Err(Failure::Other(format!("{} was removed, or is the socket of another process", path.display())));
    }
    Ok(())
}

fn print_features() {
    let features: Vec<_> = probe()
        .iter()
        .map(|feature| {
            serde_json::json!({
                "name": feature.name,
                "available": feature.outcome.is_ok(),
                "required": feature.required,
                "description": feature.description(),
            })
        })
        .collect();
    println!(
        "{}",
        serde_json::json!({
            "kernelRelease": rustix::system::uname().release().to_string_lossy(),
            "features": features,
        })
    );
}
