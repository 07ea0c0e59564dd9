//! A blocking client of the pinner.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use bpffs_pinner::api;
use bpffs_pinner::api::pinner_client::PinnerClient;
use bpffs_pinner::api::publish_volume_response::Outcome;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::wanted::{Wanted, Workspace};

/// Runs on the calling thread, and so in its mount namespace and as its user.
pub struct Client {
    runtime: Runtime,
    pinner: PinnerClient<Channel>,
}

impl Client {
    /// Connects at the first call.
    pub fn new(socket: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let socket = socket.to_owned();
        let connect = service_fn(move |_| {
            let socket = socket.clone();
            async { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        });
        let channel = {
            let _inside = runtime.enter();
            Endpoint::from_static("http://pinner").connect_with_connector_lazy(connect)
        };
        Self { runtime, pinner: PinnerClient::new(channel) }
    }

    /// Runs a test's own calls, perhaps several at once.
    pub fn run<F: Future>(&self, calls: impl FnOnce(PinnerClient<Channel>) -> F) -> F::Output {
        let calls = calls(self.pinner.clone());
        self.runtime.block_on(calls)
    }

    pub fn publish(&self, wanted: &Wanted) -> Result<Outcome, Status> {
        let request = wanted.request();
        let answer = self.run(|mut pinner| async move { pinner.publish_volume(request).await })?;
        Ok(answer.into_inner().outcome())
    }

    pub fn publish_whole(&self, wanted: &Wanted) -> Result<api::PublishVolumeResponse, Status> {
        self.run(|mut client| async move { client.publish_volume(wanted.request()).await })
            .map(tonic::Response::into_inner)
    }

    pub fn publish_workspace(&self, wanted: &Workspace) -> Result<Outcome, Status> {
        let request = wanted.0.clone();
        let answer = self.run(|mut pinner| async move { pinner.publish_workspace(request).await })?;
        Ok(answer.into_inner().outcome())
    }

    pub fn publish_delegation(&self, request: &api::PublishDelegationRequest) -> Result<Outcome, Status> {
        let request = request.clone();
        let answer = self.run(|mut pinner| async move { pinner.publish_delegation(request).await })?;
        Ok(answer.into_inner().outcome())
    }

    pub fn allow_delegation(&self, volume_id: &str, target: &Path, allowed: bool) -> Result<(), Status> {
        let target_path = target.to_str().unwrap().to_owned();
        let request = api::AllowDelegationRequest { volume_id: volume_id.to_owned(), target_path, allowed };
        self.run(|mut pinner| async move { pinner.allow_delegation(request).await }).map(|_| ())
    }

    pub fn unpublish(&self, volume_id: &str, target: &Path) -> Result<(), Status> {
        let target_path = target.to_str().unwrap().to_owned();
        let request = api::UnpublishVolumeRequest { volume_id: volume_id.to_owned(), target_path };
        self.run(|mut pinner| async move { pinner.unpublish_volume(request).await }).map(|_| ())
    }

    pub fn stats(&self, volume_id: &str, target: &Path) -> Result<api::GetVolumeStatsResponse, Status> {
        let target_path = target.to_str().unwrap().to_owned();
        let request = api::GetVolumeStatsRequest { volume_id: volume_id.to_owned(), target_path };
        self.run(|mut pinner| async move { pinner.get_volume_stats(request).await }).map(tonic::Response::into_inner)
    }

    pub fn describe_volume(&self, volume_id: &str, target: &Path) -> Result<api::DescribeVolumeResponse, Status> {
        let target_path = target.to_str().unwrap().to_owned();
        let request = api::DescribeVolumeRequest { volume_id: volume_id.to_owned(), target_path };
        self.run(|mut pinner| async move { pinner.describe_volume(request).await }).map(tonic::Response::into_inner)
    }

    /// Sorted.
    pub fn kept(&self) -> Vec<String> {
        let request = api::ListKeptVolumesRequest {};
        let answer = self.run(|mut pinner| async move { pinner.list_kept_volumes(request).await });
        let mut volume_ids = answer.unwrap().into_inner().volume_ids;
        volume_ids.sort();
        volume_ids
    }

    pub fn release(&self, volume_id: &str) -> Result<(), Status> {
        let request = api::ReleaseVolumeRequest { volume_id: volume_id.to_owned() };
        self.run(|mut pinner| async move { pinner.release_volume(request).await }).map(|_| ())
    }

    pub fn release_map(&self, name: &str) -> Result<(), Status> {
        let request = api::ReleaseMapRequest { name: name.to_owned() };
        self.run(|mut pinner| async move { pinner.release_map(request).await }).map(|_| ())
    }

    pub fn list(&self) -> Vec<(String, PathBuf)> {
        let answer = self.run(|mut pinner| async move { pinner.list_volumes(api::ListVolumesRequest {}).await });
        let volumes = answer.unwrap().into_inner().volumes;
        volumes.into_iter().map(|volume| (volume.volume_id, PathBuf::from(volume.target_path))).collect()
    }

    pub fn describe(&self, source: api::Source) -> Result<api::MapDescription, Status> {
        let request = api::DescribeMapRequest { source: Some(source) };
        let answer = self.run(|mut pinner| async move { pinner.describe_map(request).await })?;
        Ok(answer.into_inner().map.unwrap())
    }

    pub fn budget(&self) -> api::GetBudgetResponse {
        let answer = self.run(|mut pinner| async move { pinner.get_budget(api::GetBudgetRequest {}).await });
        answer.unwrap().into_inner()
    }

    pub fn node(&self) -> Result<api::GetNodeResponse, Status> {
        let answer = self.run(|mut pinner| async move { pinner.get_node(api::GetNodeRequest {}).await })?;
        Ok(answer.into_inner())
    }
}
