//! The floor of a publish: the same system calls in a bare loop, and the pinner's RPCs over a kept-alive connection.
//!
//! Run by `test/bench/bench.ts`; prints one JSON object. The bare loop checks nothing and looks at nothing twice: it
//! makes only what the pinner makes, on a kernel that composes detached trees.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bpffs_pinner::api;
use bpffs_pinner::api::pinner_client::PinnerClient;
use bpffs_pinner::sys::path::{open_beneath, through_descriptor};
use bpffs_pinner::sys::{Result, bpf, mount};
use bpffs_pinner::tree;
use clap::{Parser, ValueEnum};
use hyper_util::rt::TokioIo;
use rustix::fs::{AtFlags, Mode};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// System calls alone.
    Bare,
    /// `PublishVolume` and `UnpublishVolume`.
    Rpc,
    /// `GetNode`, which does nothing.
    Empty,
}

#[derive(Clone, Debug, Parser)]
struct Options {
    #[arg(value_enum)]
    what: What,
    /// Where the pinner listens
    #[arg(long)]
    socket: PathBuf,
    /// The kubelet's directory of that pinner
    #[arg(long)]
    kubelet_dir: PathBuf,
    /// Directory with the pins of the maps, map0, map1 …
    #[arg(long)]
    pins: PathBuf,
    #[arg(long, default_value_t = 2)]
    maps: usize,
    /// How many of the maps can be written
    #[arg(long, default_value_t = 0)]
    writable: usize,
    #[arg(long, default_value_t = 1)]
    callers: usize,
    /// Pairs of publish and unpublish, for all callers together
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Given by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Microseconds of each pair's first and second call.
type Times = (Vec<f64>, Vec<f64>);

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let start = Instant::now();
    let (first, second) = match options.what {
        What::Bare => bare(&options)?,
        What::Rpc | What::Empty => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(rpc(&options))?
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let calls = if options.what == What::Empty {
        json!({ "empty": summary(first.into_iter().chain(second).collect(), seconds) })
    } else {
        json!({ "publish": summary(first, seconds), "unpublish": summary(second, seconds) })
    };
    println!("{}", json!({ "seconds": seconds, "callers": options.callers, "calls": calls }));
    Ok(())
}

fn summary(mut times: Vec<f64>, seconds: f64) -> Value {
    times.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| {
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index)
    };
    json!({
        "count": times.len(), "p50_us": at(50), "p90_us": at(90), "p99_us": at(99),
        "per_second": f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX)) / seconds,
    })
}

fn timed<T, E>(times: &mut Vec<f64>, call: impl FnOnce() -> std::result::Result<T, E>) -> std::result::Result<T, E> {
    let start = Instant::now();
    let result = call();
    times.push(start.elapsed().as_secs_f64() * 1e6);
    result
}

fn bare(options: &Options) -> std::result::Result<Times, Box<dyn std::error::Error>> {
    let loops: Vec<_> = (0..options.callers)
        .map(|caller| {
            let options = options.clone();
            std::thread::spawn(move || bare_loop(&options, caller))
        })
        .collect();
    let mut times = Times::default();
    for bare in loops {
        let (publish, unpublish) = bare.join().map_err(|_| "a loop panicked")??;
        times.0.extend(publish);
        times.1.extend(unpublish);
    }
    Ok(times)
}

fn bare_loop(options: &Options, caller: usize) -> Result<Times> {
    let parent = options.kubelet_dir.join(format!("bare{caller}"));
    let _ = std::fs::create_dir(&parent);
    let parent = open_beneath(&parent, "".as_ref())?;
    let names: Vec<_> = (0..options.maps).map(|map| CString::new(format!("map{map}")).unwrap_or_default()).collect();
    let mut times = Times::default();
    for _ in 0..options.count / options.callers {
        timed(&mut times.0, || bare_publish(options, &parent, &names))?;
        timed(&mut times.1, || bare_unpublish(&parent))?;
    }
    Ok(times)
}

fn pin_all(directory: &OwnedFd, maps: &[(CString, OwnedFd)], mode: u32) -> Result<()> {
    for (name, map) in maps {
        bpf::pin(map.as_fd(), &through_descriptor(directory.as_fd(), name))?;
        let _ = rustix::fs::chmodat(directory, name.as_c_str(), Mode::from_raw_mode(mode), AtFlags::empty());
    }
    Ok(())
}

fn bare_publish(options: &Options, parent: &OwnedFd, names: &[CString]) -> Result<()> {
    let pins = open_beneath(&options.pins, "".as_ref())?;
    let mut maps = Vec::with_capacity(names.len());
    for name in names {
        maps.push((name.clone(), bpf::open_pin(&through_descriptor(pins.as_fd(), name))?));
    }
    let (bpffs, root) = tree::bpffs(c"csi-bpffs:bare")?;
    pin_all(&root, &maps, 0o444)?;
    let _ = rustix::fs::chmodat(&root, c".", Mode::from_raw_mode(0o555), AtFlags::empty());
    mount::make_superblock_read_only(bpffs.as_fd())?;
    let tree = mount::clone(bpffs.as_fd(), tree::ROOT)?;
    if options.writable > 0 {
        let writable = mount::detached(c"bpf", &[(c"source", c"csi-bpffs:bare"), (c"mode", c"0700")])?;
        pin_all(&writable, &maps[..options.writable], 0o666)?;
        for (name, _) in &maps[..options.writable] {
            mount::attach(mount::clone(writable.as_fd(), name)?.as_fd(), tree.as_fd(), name)?;
        }
    }
    let _ = rustix::fs::mkdirat(parent, c"mount", Mode::from_raw_mode(0o750));
    mount::attach(tree.as_fd(), parent.as_fd(), c"mount")
}

fn bare_unpublish(parent: &OwnedFd) -> Result<()> {
    mount::detach(parent.as_fd(), c"mount")?;
    let _ = rustix::fs::unlinkat(parent, c"mount", AtFlags::REMOVEDIR);
    Ok(())
}

async fn rpc(options: &Options) -> std::result::Result<Times, Box<dyn std::error::Error>> {
    let options = Arc::new(options.clone());
    // One connection for all callers, as in the node plugin.
    let client = connect(options.socket.clone()).await?;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..options.callers {
        let (options, client) = (Arc::clone(&options), client.clone());
        callers.spawn(async move { rpc_loop(&options, client, caller).await.map_err(|error| error.to_string()) });
    }
    let mut times = Times::default();
    while let Some(ended) = callers.join_next().await {
        let (first, second) = ended??;
        times.0.extend(first);
        times.1.extend(second);
    }
    Ok(times)
}

async fn connect(socket: PathBuf) -> std::result::Result<PinnerClient<Channel>, tonic::transport::Error> {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Ok(PinnerClient::new(Endpoint::from_static("http://localhost").connect_with_connector(connector).await?))
}

async fn rpc_loop(
    options: &Options,
    mut client: PinnerClient<Channel>,
    caller: usize,
) -> std::result::Result<Times, Box<dyn std::error::Error>> {
    // Each caller is a pod of its own, because the pinner looks at a pod's other volumes.
    let parent = options.kubelet_dir.join(format!("pods/rpc{caller}/volumes/kubernetes.io~csi/volume"));
    let _ = std::fs::create_dir_all(&parent);
    let (volume_id, target_path) = (format!("rpc-{caller}"), parent.join("mount").display().to_string());
    let maps = (0..options.maps).map(|map| {
        let name = format!("map{map}");
        let access = if map < options.writable { api::Access::ReadWrite } else { api::Access::ReadOnly };
        let path = options.pins.join(&name).display().to_string();
        let from = Some(api::source::From::Pinned(api::PinnedMap { path }));
        api::VolumeMap {
            file_name: name.clone(),
            name,
            access: access.into(),
            source: Some(api::Source { from }),
            uid: None,
        }
    });
    let publish = api::PublishVolumeRequest {
        volume_id: volume_id.clone(),
        target_path: target_path.clone(),
        maps: maps.collect(),
        ..Default::default()
    };
    let unpublish = api::UnpublishVolumeRequest { volume_id, target_path };
    let mut times = Times::default();
    for _ in 0..options.count / options.callers {
        for (index, into) in [&mut times.0, &mut times.1].into_iter().enumerate() {
            let start = Instant::now();
            match (options.what, index) {
                (What::Empty, _) => drop(client.get_node(api::GetNodeRequest {}).await?),
                (_, 0) => drop(client.publish_volume(publish.clone()).await?),
                _ => drop(client.unpublish_volume(unpublish.clone()).await?),
            }
            into.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(times)
}
