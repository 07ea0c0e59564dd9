//! The gRPC service: one check of the caller, one kernel transaction on a thread of its own, one log line.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};

use crate::api::pinner_server::Pinner;
use crate::call::{Subject, Targets, Waiting, log};
use crate::error::{Error, Result};
use crate::kubelet::{Kubelet, Target};
use crate::probe::Feature;
use crate::request::{Source, Volume, Workspace, kept_volume_id, target_path, volume_id};
use crate::volume::Publisher;
use crate::{answer, api};

/// The service.
#[derive(Debug)]
pub struct Service {
    publisher: Arc<Publisher>,
    targets: Targets,
    features: Vec<Feature>,
    unable: Option<String>,
}

/// Refuses everyone but `uid`, which `SO_PEERCRED` has shown when the connection was accepted.
pub fn only_peer(uid: u32) -> impl Fn(Request<()>) -> std::result::Result<Request<()>, Status> + Clone {
    move |request| {
        let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
        match peer {
            Some(peer) if peer.uid() == uid => Ok(request),
            Some(peer) => {
                tracing::warn!(uid = peer.uid(), pid = peer.pid(), "refused a caller");
                Err(Status::permission_denied(format!("the pinner answers uid {uid} only, this is uid {}", peer.uid())))
            }
            None => Err(Status::permission_denied("the pinner answers on a unix socket only")),
        }
    }
}

impl Service {
    /// A service for a kernel with these features.
    #[must_use]
    pub fn new(publisher: Publisher, features: Vec<Feature>) -> Self {
        let unable = crate::probe::missing(&features);
        Self { publisher: Arc::new(publisher), targets: Targets::default(), features, unable }
    }

    fn kubelet(&self) -> &Kubelet {
        &self.publisher.kubelet
    }

    /// # Errors
    /// [`Error::Unusable`] on a kernel that no volume can be made on.
    fn check_able(&self) -> Result<()> {
        match &self.unable {
            Some(missing) => Err(Error::Unusable(format!("this node's kernel lacks {missing}"))),
            None => Ok(()),
        }
    }

    /// Checks the request here, does the work on a thread that may block, and logs the call.
    async fn call<P, T, Work>(
        &self,
        method: &'static str,
        subject: Subject,
        parse: impl FnOnce(&Self) -> Result<P>,
        work: Work,
    ) -> std::result::Result<Response<T>, Status>
    where
        P: Send + 'static,
        T: Send + 'static,
        Work: FnOnce(&Publisher, P, &dyn Fn() -> bool) -> Result<T> + Send + 'static,
    {
        let start = Instant::now();
        let answer = match parse(self) {
            Err(error) => Err(error.into()),
            Ok(parsed) => {
                let waiting = Waiting::default();
                let is_cancelled = waiting.is_cancelled();
                let publisher = Arc::clone(&self.publisher);
                spawn_blocking(move || work(&publisher, parsed, &is_cancelled))
                    .await
                    .unwrap_or_else(|_| Err(Error::Cancelled))
                    .map_err(Status::from)
            }
        };
        log(method, &subject, start, answer.as_ref().err());
        answer.map(Response::new)
    }
}

#[tonic::async_trait]
impl Pinner for Service {
    async fn publish_volume(
        &self,
        request: Request<api::PublishVolumeRequest>,
    ) -> std::result::Result<Response<api::PublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let subject = Subject { volume_id: request.volume_id.clone(), target_path: request.target_path.clone() };
        let parse = |service: &Self| {
            service.check_able()?;
            let volume = Volume::parse(request, service.kubelet())?;
            Ok((service.targets.claim(volume.target.path())?, volume))
        };
        self.call("PublishVolume", subject, parse, |publisher, (_claim, volume), is_cancelled| {
            publisher.publish(&volume, is_cancelled).map(answer::published)
        })
        .await
    }

    async fn publish_workspace(
        &self,
        request: Request<api::PublishWorkspaceRequest>,
    ) -> std::result::Result<Response<api::PublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let subject = Subject { volume_id: request.volume_id.clone(), target_path: request.target_path.clone() };
        let parse = |service: &Self| {
            service.check_able()?;
            let workspace = Workspace::parse(request, service.kubelet())?;
            Ok((service.targets.claim(workspace.target.path())?, workspace))
        };
        self.call("PublishWorkspace", subject, parse, |publisher, (_claim, workspace), is_cancelled| {
            publisher.publish_workspace(&workspace, is_cancelled).map(answer::published)
        })
        .await
    }

    async fn unpublish_volume(
        &self,
        request: Request<api::UnpublishVolumeRequest>,
    ) -> std::result::Result<Response<api::UnpublishVolumeResponse>, Status> {
        let api::UnpublishVolumeRequest { volume_id: id, target_path: target } = request.into_inner();
        let subject = Subject { volume_id: id.clone(), target_path: target.clone() };
        let parse = |service: &Self| {
            let id = volume_id(id)?;
            let target = target_path(&target, service.kubelet())?;
            Ok((service.targets.claim(target.path())?, id, target))
        };
        self.call("UnpublishVolume", subject, parse, |publisher, (_claim, id, target), _| {
            publisher.unpublish(&id, &target).map(|()| api::UnpublishVolumeResponse {})
        })
        .await
    }

    async fn get_volume_stats(
        &self,
        request: Request<api::GetVolumeStatsRequest>,
    ) -> std::result::Result<Response<api::GetVolumeStatsResponse>, Status> {
        let api::GetVolumeStatsRequest { volume_id: id, target_path: target } = request.into_inner();
        let subject = Subject { volume_id: id.clone(), target_path: target.clone() };
        let parse = |service: &Self| Ok((volume_id(id)?, target_path(&target, service.kubelet())?));
        let work = |publisher: &Publisher, (id, target): (String, Target), _: &dyn Fn() -> bool| {
            answer::stats(publisher, &id, &target)
        };
        self.call("GetVolumeStats", subject, parse, work).await
    }

    async fn describe_volume(
        &self,
        request: Request<api::DescribeVolumeRequest>,
    ) -> std::result::Result<Response<api::DescribeVolumeResponse>, Status> {
        let api::DescribeVolumeRequest { volume_id: id, target_path: target } = request.into_inner();
        let subject = Subject { volume_id: id.clone(), target_path: target.clone() };
        let parse = |service: &Self| Ok((volume_id(id)?, target_path(&target, service.kubelet())?));
        let work = |publisher: &Publisher, (id, target): (String, Target), _: &dyn Fn() -> bool| {
            answer::volume(publisher, &id, &target)
        };
        self.call("DescribeVolume", subject, parse, work).await
    }

    async fn list_volumes(
        &self,
        _: Request<api::ListVolumesRequest>,
    ) -> std::result::Result<Response<api::ListVolumesResponse>, Status> {
        self.call("ListVolumes", Subject::default(), |_| Ok(()), |publisher, (), _| answer::volumes(publisher)).await
    }

    async fn list_kept_volumes(
        &self,
        _: Request<api::ListKeptVolumesRequest>,
    ) -> std::result::Result<Response<api::ListKeptVolumesResponse>, Status> {
        let work = |publisher: &Publisher, (), _: &dyn Fn() -> bool| {
            let volume_ids = publisher.sources.store.kept_volumes()?;
            Ok(api::ListKeptVolumesResponse { volume_ids })
        };
        self.call("ListKeptVolumes", Subject::default(), |_| Ok(()), work).await
    }

    async fn release_volume(
        &self,
        request: Request<api::ReleaseVolumeRequest>,
    ) -> std::result::Result<Response<api::ReleaseVolumeResponse>, Status> {
        let id = request.into_inner().volume_id;
        let subject = Subject { volume_id: id.clone(), ..Subject::default() };
        let parse = |_: &Self| kept_volume_id("volume_id", id);
        self.call("ReleaseVolume", subject, parse, |publisher, id, _| {
            publisher.sources.store.release(&id).map(|()| api::ReleaseVolumeResponse {})
        })
        .await
    }

    async fn describe_map(
        &self,
        request: Request<api::DescribeMapRequest>,
    ) -> std::result::Result<Response<api::DescribeMapResponse>, Status> {
        let parse = |_: &Self| Source::parse(request.into_inner().source);
        self.call("DescribeMap", Subject::default(), parse, |publisher, source, _| answer::map(publisher, &source))
            .await
    }

    async fn get_budget(
        &self,
        _: Request<api::GetBudgetRequest>,
    ) -> std::result::Result<Response<api::GetBudgetResponse>, Status> {
        let work = |publisher: &Publisher, (), _: &dyn Fn() -> bool| answer::budget(&publisher.sources.store);
        self.call("GetBudget", Subject::default(), |_| Ok(()), work).await
    }

    async fn get_node(
        &self,
        _: Request<api::GetNodeRequest>,
    ) -> std::result::Result<Response<api::GetNodeResponse>, Status> {
        let features = self.features.iter().map(|feature| api::KernelFeature {
            name: feature.name.to_owned(),
            available: feature.outcome.is_ok(),
            description: feature.description(),
            required: feature.required,
        });
        Ok(Response::new(api::GetNodeResponse {
            kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            features: features.collect(),
        }))
    }
}
