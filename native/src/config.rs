//! The pinner's configuration, from flags or the environment.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::sys::path::is_canonical;

/// Builds and removes volumes of pinned BPF maps, for the node plugin of csi-driver-bpffs.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Unix socket to serve on; --peer-uid becomes its owner
    #[arg(long, env = "PINNER_SOCKET", default_value = "/run/csi-driver-bpffs/pinner.sock")]
    pub socket: PathBuf,
    /// The only uid whose calls are answered: the node plugin's
    #[arg(long, env = "PINNER_PEER_UID", default_value_t = 65532)]
    pub peer_uid: u32,
    /// The kubelet's --root-dir; volumes are published below `pods` in it
    #[arg(long, env = "PINNER_KUBELET_DIR", default_value = "/var/lib/kubelet")]
    pub kubelet_dir: PathBuf,
    /// Touch a volume only if the kubelet's `vol_data.json` beside its target names this driver and the volume
    #[arg(long, env = "PINNER_DRIVER_NAME")]
    pub driver_name: Option<String>,
    /// Directory for what the pinner creates; a bpffs, the store, is mounted there at start unless it is already
    #[arg(long, env = "PINNER_STORE_DIR", default_value = "/run/csi-driver-bpffs/store")]
    pub store_dir: PathBuf,
    /// Directory below which a source may be pinned; may be given several times
    #[arg(long = "pin-root", env = "PINNER_PIN_ROOTS", value_delimiter = ',', default_value = "/sys/fs/bpf")]
    pub pin_roots: Vec<PathBuf>,
    /// Directory to create and give to --peer-uid, so that the node plugin does not need root; may be given several times
    #[arg(long = "peer-dir", env = "PINNER_PEER_DIRS", value_delimiter = ',')]
    pub peer_dirs: Vec<PathBuf>,
    /// Keep `CAP_NET_ADMIN`, which kernels before 6.9 require for creating an xskmap, sockmap, sockhash or devmap
    #[arg(long, env = "PINNER_NETWORK_MAPS")]
    pub network_maps: bool,
    /// The most maps that the pinner creates and keeps, those of persistent volumes included
    #[arg(long, env = "PINNER_CREATED_MAPS_MAX", default_value_t = 1024)]
    pub created_maps_max: u64,
    /// The most kernel memory that those maps take together when they are full: bytes, or with Ki, Mi, Gi or Ti
    #[arg(long, env = "PINNER_CREATED_MEMORY_MAX", default_value = "1Gi", value_parser = bytes)]
    pub created_memory_max: u64,
    /// The most workspaces that the pinner keeps
    #[arg(long, env = "PINNER_WORKSPACES_MAX", default_value_t = 256)]
    pub workspaces_max: u64,
    /// Seconds after which a call that hangs in the kernel ends the pinner
    #[arg(long, env = "PINNER_HANG_LIMIT", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    pub hang_limit: u16,
    /// The lowest level to log: error, warn, info, debug or trace
    #[arg(long, env = "PINNER_LOG_LEVEL", default_value = "info")]
    pub log_level: tracing::Level,
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do beside serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Print what this kernel can do, as JSON, and exit
    Probe,
    /// Wait for pods that are to have BPF tokens; the pinner starts this itself
    #[command(hide = true)]
    Delegate,
    /// Ask the pinner at --socket whether it is there; exits 1 if not
    Ping,
}

/// Parses a number of bytes as Kubernetes writes quantities.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        unit => return Err(format!("{unit:?} is none of Ki, Mi, Gi, Ti")),
    };
    let number: u64 = digits.parse().map_err(|_| "no whole number of bytes".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

impl Config {
    /// Checks the flags before anything is opened.
    ///
    /// # Errors
    /// One line that names the flag and what is wrong with its value.
    pub fn validate(&self) -> Result<(), String> {
        if self.peer_uid == u32::MAX {
            return Err("--peer-uid: 4294967295 is no user".to_owned());
        }
        let single =
            [("--socket", &self.socket), ("--kubelet-dir", &self.kubelet_dir), ("--store-dir", &self.store_dir)];
        let several = self.pin_roots.iter().map(|path| ("--pin-root", path));
        for (flag, path) in
            single.into_iter().chain(several).chain(self.peer_dirs.iter().map(|path| ("--peer-dir", path)))
        {
            if !path.to_str().is_some_and(is_canonical) {
                let path = path.display();
                return Err(format!("{flag}: {path} must be absolute, without \".\", \"..\" or empty elements"));
            }
        }
        let made = self.peer_dirs.iter().map(|path| ("--peer-dir", path));
        for (flag, path) in made.chain([("--store-dir", &self.store_dir)]) {
            if path.exists() && !path.is_dir() {
                return Err(format!(
                    "{flag}: {} exists and is no directory; remove it or choose another",
                    path.display()
                ));
            }
        }
        let pods = self.kubelet_dir.join("pods");
        if !pods.is_dir() {
            return Err(format!("--kubelet-dir: {} is no directory; give the kubelet's --root-dir", pods.display()));
        }
        if self.driver_name.as_ref().is_some_and(String::is_empty) {
            return Err("--driver-name: is empty; leave it out, and the kubelet's word is not asked for".to_owned());
        }
        if !self.socket.parent().is_some_and(Path::is_dir) {
            return Err(format!("--socket: the directory of {} does not exist; create it", self.socket.display()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_written_as_kubernetes_does() {
        for (text, number) in
            [("0", 0), ("1000", 1000), ("1Ki", 1 << 10), ("64Mi", 64 << 20), ("2Gi", 2 << 30), ("1Ti", 1 << 40)]
        {
            assert_eq!(bytes(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_bytes() {
        for text in ["", "Gi", "1G", "1.5Gi", "-1", "1 Gi", "1Gi2", "16777216Ti", "99999999999999999999"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
