//! Decodes and checks any bytes as each kind of request: none panics, and the text of a refusal fits a gRPC status.
#![no_main]

use std::sync::LazyLock;

use bpffs_pinner::api;
use bpffs_pinner::error::{Error, Result};
use bpffs_pinner::kubelet::Kubelet;
use bpffs_pinner::limits::STATUS;
use bpffs_pinner::request::{Source, Volume, Workspace, kept_volume_id, target_path, volume_id};
use libfuzzer_sys::{Corpus, fuzz_target};
use prost::Message;
use tempfile::TempDir;
use tonic::Status;

/// A kubelet's directory, which stands for `/kubelet` in the targets of requests.
static KUBELET: LazyLock<(TempDir, Kubelet)> = LazyLock::new(|| {
    let directory = TempDir::new().expect("a directory for temporary files");
    std::fs::create_dir(directory.path().join("pods")).expect("a directory in it");
    let kubelet = Kubelet::open(directory.path(), None).expect("a kubelet's directory");
    (directory, kubelet)
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((&which, bytes)) = bytes.split_first() else { return Corpus::Reject };
    check(which, bytes).map_or(Corpus::Reject, |checked| {
        if let Err(error) = checked {
            assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
            let headers = Status::from(error).into_http::<()>();
            assert!(headers.headers()["grpc-message"].len() <= STATUS);
        }
        Corpus::Keep
    })
});

/// `None` if the bytes are not a message.
fn check(which: u8, bytes: &[u8]) -> Option<Result<()>> {
    let (directory, kubelet) = &*KUBELET;
    let here = |target: String| target.replacen("/kubelet", &directory.path().display().to_string(), 1);
    Some(match which % 5 {
        0 => {
            let mut request = api::PublishVolumeRequest::decode(bytes).ok()?;
            request.target_path = here(request.target_path);
            Volume::parse(request, kubelet).map(|volume| {
                assert!(volume.target.path().starts_with(directory.path()));
                assert!(volume.maps.len() <= 256 && volume.id.len() <= 128);
                let _ = volume.require_whole();
            })
        }
        1 => {
            let mut request = api::PublishWorkspaceRequest::decode(bytes).ok()?;
            request.target_path = here(request.target_path);
            Workspace::parse(request, kubelet)
                .map(|workspace| assert!(workspace.target.path().starts_with(directory.path())))
        }
        2 => {
            let request = api::UnpublishVolumeRequest::decode(bytes).ok()?;
            volume_id(request.volume_id).and_then(|_| target_path(&here(request.target_path), kubelet)).map(drop)
        }
        3 => Source::parse(api::DescribeMapRequest::decode(bytes).ok()?.source).map(drop),
        _ => kept_volume_id("volume_id", api::ReleaseVolumeRequest::decode(bytes).ok()?.volume_id)
            .map(|id| assert!(!id.contains(['/', '.']))),
    })
}
