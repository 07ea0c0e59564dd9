//! The gRPC service: each call does its work on a blocking thread and logs one line.

use std::ffi::CString;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tonic::{Request, Response, Status};

use crate::api::pinner_server::Pinner;
use crate::call::{Line, Targets};
use crate::error::{Error, Result};
use crate::kubelet::Kubelet;
use crate::probe::Feature;
use crate::request::{DelegationVolume, Source, Volume, Workspace, kept_volume_id, map_name, target_path, volume_id};
use crate::volume::{Published, Publisher};
use crate::watchdog::Watchdog;
use crate::{answer, api};

/// The service.
#[derive(Debug)]
pub struct Service {
    publisher: Arc<Publisher>,
    targets: Targets,
    features: Vec<Feature>,
    unable: Option<String>,
    watchdog: Watchdog,
}

impl Service {
    /// `watchdog` is told of each call, to notice one that hangs.
    #[must_use]
    pub fn new(publisher: impl Into<Arc<Publisher>>, features: Vec<Feature>, watchdog: Watchdog) -> Self {
        let unable = crate::probe::missing(&features);
        Self { publisher: publisher.into(), targets: Targets::default(), features, unable, watchdog }
    }

    fn kubelet(&self) -> &Kubelet {
        &self.publisher.kubelet
    }

    /// # Errors
    /// [`Error::Unusable`] on a kernel that cannot make any volume.
    fn check_able(&self) -> Result<()> {
        match &self.unable {
            Some(missing) => Err(Error::Unusable(format!("this node's kernel lacks {missing}"))),
            None => Ok(()),
        }
    }

    /// Checks the request on this thread, works on a blocking one, and logs the call when the work ends.
    async fn call<P, T, Work>(
        &self,
        mut line: Line,
        parse: impl FnOnce(&Self, &mut Line) -> Result<P>,
        work: Work,
    ) -> std::result::Result<Response<T>, Status>
    where
        P: Send + 'static,
        T: Send + 'static,
        Work: FnOnce(&Publisher, P, &mut Line) -> Result<T> + Send + 'static,
    {
        let parsed = match parse(self, &mut line) {
            Ok(parsed) => parsed,
            Err(error) => {
                let status = error.into();
                line.end(Some(&status));
                return Err(status);
            }
        };
        let _waiting = line.waiting();
        let (publisher, watchdog) = (Arc::clone(&self.publisher), self.watchdog.clone());
        let work = move || {
            let _watched = watchdog.watch(line.method());
            let answer = work(&publisher, parsed, &mut line).map_err(Status::from);
            line.end(answer.as_ref().err());
            answer
        };
        spawn_blocking(work).await.unwrap_or_else(|_| Err(Error::Cancelled.into())).map(Response::new)
    }
}

#[tonic::async_trait]
impl Pinner for Service {
    async fn publish_volume(
        &self,
        mut request: Request<api::PublishVolumeRequest>,
    ) -> std::result::Result<Response<api::PublishVolumeResponse>, Status> {
        let line = Line::of(&mut request, "PublishVolume");
        let request = request.into_inner();
        let line = line.about(&request.volume_id, &request.target_path);
        let parse = |service: &Self, line: &mut Line| {
            service.check_able()?;
            let volume = Volume::parse(request, service.kubelet())?;
            line.asks_for(&volume.maps);
            Ok((service.targets.claim(volume.target.path())?, volume))
        };
        self.call(line, parse, |publisher, (_claim, volume), line| {
            let answer = answer::published(publisher.publish(&volume, &|| line.is_given_up())?);
            tell(line, &answer);
            Ok(answer)
        })
        .await
    }

    async fn publish_workspace(
        &self,
        mut request: Request<api::PublishWorkspaceRequest>,
    ) -> std::result::Result<Response<api::PublishVolumeResponse>, Status> {
        let line = Line::of(&mut request, "PublishWorkspace");
        let request = request.into_inner();
        let line = line.about(&request.volume_id, &request.target_path);
        let parse = |service: &Self, _: &mut Line| {
            service.check_able()?;
            let workspace = Workspace::parse(request, service.kubelet())?;
            Ok((service.targets.claim(workspace.target.path())?, workspace))
        };
        self.call(line, parse, |publisher, (_claim, workspace), line| {
            let outcome = publisher.publish_workspace(&workspace, &|| line.is_given_up())?;
            let answer = answer::published(Published { outcome, given: Vec::new(), refusals: Vec::new() });
            tell(line, &answer);
            Ok(answer)
        })
        .await
    }

    async fn publish_delegation(
        &self,
        mut request: Request<api::PublishDelegationRequest>,
    ) -> std::result::Result<Response<api::PublishVolumeResponse>, Status> {
        let line = Line::of(&mut request, "PublishDelegation");
        let request = request.into_inner();
        let line = line.about(&request.volume_id, &request.target_path);
        let parse = |service: &Self, _: &mut Line| {
            service.check_able()?;
            let volume = DelegationVolume::parse(request, service.kubelet())?;
            Ok((service.targets.claim(volume.target.path())?, volume))
        };
        self.call(line, parse, |publisher, (_claim, volume), line| {
            let outcome = publisher.publish_delegation(&volume, &|| line.is_given_up())?;
            let answer = answer::published(Published { outcome, given: Vec::new(), refusals: Vec::new() });
            line.did(answer.outcome().as_str_name());
            Ok(answer)
        })
        .await
    }

    async fn allow_delegation(
        &self,
        mut request: Request<api::AllowDelegationRequest>,
    ) -> std::result::Result<Response<api::AllowDelegationResponse>, Status> {
        let line = Line::of(&mut request, "AllowDelegation");
        let api::AllowDelegationRequest { volume_id: id, target_path: target, allowed } = request.into_inner();
        let line = line.about(&id, &target);
        let parse = |service: &Self, _: &mut Line| {
            let (id, target) = (volume_id(id)?, target_path(&target, service.kubelet())?);
            Ok((service.targets.claim(target.path())?, id, target))
        };
        self.call(line, parse, move |publisher, (_claim, id, target), line| {
            let changed = publisher.allow_delegation(&id, &target, allowed)?;
            line.did(if changed { "CHANGED" } else { "UNCHANGED" });
            Ok(api::AllowDelegationResponse {})
        })
        .await
    }

    async fn unpublish_volume(
        &self,
        mut request: Request<api::UnpublishVolumeRequest>,
    ) -> std::result::Result<Response<api::UnpublishVolumeResponse>, Status> {
        let line = Line::of(&mut request, "UnpublishVolume");
        let api::UnpublishVolumeRequest { volume_id: id, target_path: target } = request.into_inner();
        let line = line.about(&id, &target);
        let parse = |service: &Self, _: &mut Line| {
            let id = volume_id(id)?;
            let target = target_path(&target, service.kubelet())?;
            Ok((service.targets.claim(target.path())?, id, target))
        };
        self.call(line, parse, |publisher, (_claim, id, target), _| {
            publisher.unpublish(&id, &target).map(|()| api::UnpublishVolumeResponse {})
        })
        .await
    }

    async fn get_volume_stats(
        &self,
        mut request: Request<api::GetVolumeStatsRequest>,
    ) -> std::result::Result<Response<api::GetVolumeStatsResponse>, Status> {
        let line = Line::of(&mut request, "GetVolumeStats").quiet();
        let api::GetVolumeStatsRequest { volume_id: id, target_path: target } = request.into_inner();
        let line = line.about(&id, &target);
        let parse = |service: &Self, _: &mut Line| Ok((volume_id(id)?, target_path(&target, service.kubelet())?));
        self.call(line, parse, |publisher, (id, target), _| answer::stats(publisher, &id, &target)).await
    }

    async fn describe_volume(
        &self,
        mut request: Request<api::DescribeVolumeRequest>,
    ) -> std::result::Result<Response<api::DescribeVolumeResponse>, Status> {
        let line = Line::of(&mut request, "DescribeVolume").quiet();
        let api::DescribeVolumeRequest { volume_id: id, target_path: target } = request.into_inner();
        let line = line.about(&id, &target);
        let parse = |service: &Self, _: &mut Line| Ok((volume_id(id)?, target_path(&target, service.kubelet())?));
        self.call(line, parse, |publisher, (id, target), _| answer::volume(publisher, &id, &target)).await
    }

    async fn list_volumes(
        &self,
        mut request: Request<api::ListVolumesRequest>,
    ) -> std::result::Result<Response<api::ListVolumesResponse>, Status> {
        let line = Line::of(&mut request, "ListVolumes").quiet();
        self.call(line, |_, _| Ok(()), |publisher, (), _| answer::volumes(publisher)).await
    }

    async fn list_kept_volumes(
        &self,
        mut request: Request<api::ListKeptVolumesRequest>,
    ) -> std::result::Result<Response<api::ListKeptVolumesResponse>, Status> {
        let line = Line::of(&mut request, "ListKeptVolumes").quiet();
        self.call(line, |_, _| Ok(()), |publisher, (), _| answer::kept_volumes(publisher)).await
    }

    async fn release_volume(
        &self,
        mut request: Request<api::ReleaseVolumeRequest>,
    ) -> std::result::Result<Response<api::ReleaseVolumeResponse>, Status> {
        let line = Line::of(&mut request, "ReleaseVolume");
        let id = request.into_inner().volume_id;
        let line = line.about(&id, "");
        let parse = |_: &Self, _: &mut Line| kept_volume_id("volume_id", id);
        self.call(line, parse, |publisher, id, _| publisher.release(&id).map(|()| api::ReleaseVolumeResponse {})).await
    }

    async fn release_map(
        &self,
        mut request: Request<api::ReleaseMapRequest>,
    ) -> std::result::Result<Response<api::ReleaseMapResponse>, Status> {
        let line = Line::of(&mut request, "ReleaseMap");
        let parse = |_: &Self, _: &mut Line| map_name(&request.into_inner().name);
        let work = |publisher: &Publisher, name: CString, _: &mut Line| {
            publisher.release_map(&name).map(|()| api::ReleaseMapResponse {})
        };
        self.call(line, parse, work).await
    }

    async fn describe_map(
        &self,
        mut request: Request<api::DescribeMapRequest>,
    ) -> std::result::Result<Response<api::DescribeMapResponse>, Status> {
        let line = Line::of(&mut request, "DescribeMap").quiet();
        let parse = |_: &Self, _: &mut Line| Source::parse(request.into_inner().source);
        self.call(line, parse, |publisher, source, _| answer::map(publisher, &source)).await
    }

    async fn get_budget(
        &self,
        mut request: Request<api::GetBudgetRequest>,
    ) -> std::result::Result<Response<api::GetBudgetResponse>, Status> {
        let line = Line::of(&mut request, "GetBudget").quiet();
        let work = |publisher: &Publisher, (), _: &mut Line| answer::budget(&publisher.sources.store);
        self.call(line, |_, _| Ok(()), work).await
    }

    async fn get_node(
        &self,
        mut request: Request<api::GetNodeRequest>,
    ) -> std::result::Result<Response<api::GetNodeResponse>, Status> {
        Line::of(&mut request, "GetNode").quiet().end(None);
        // Here and not on a blocking thread, so that it is answered while all of those are busy. To look at a few
        // directories blocks nothing, as long as they are on filesystems of this machine.
        Ok(Response::new(answer::node(&self.publisher, &self.features)))
    }
}

/// Adds to the line what a publish did. The kubelet repeats the publish of each volume about once a minute.
fn tell(line: &mut Line, answer: &api::PublishVolumeResponse) {
    line.did(answer.outcome().as_str_name());
    if answer.outcome() == api::publish_volume_response::Outcome::Unchanged {
        line.make_quiet();
    }
}
