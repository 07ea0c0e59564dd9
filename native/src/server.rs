//! The gRPC service: one check of the caller, one kernel transaction on a thread of its own, one log line.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};

use crate::api;
use crate::api::pinner_server::Pinner;
use crate::call::{Subject, Targets, Waiting, log};
use crate::error::{Error, Result};
use crate::map_type;
use crate::probe::Feature;
use crate::request::{Source, Volume, target_path, volume_id};
use crate::source::IfAbsent;
use crate::sys::bpf;
use crate::sys::path::Place;
use crate::volume::{self, Found, Outcome, Publisher};

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

    fn kubelet_directory(&self) -> &Path {
        &self.publisher.kubelet_directory
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
            if let Some(missing) = &service.unable {
                return Err(Error::Unusable(format!("this node's kernel lacks {missing}")));
            }
            let volume = Volume::parse(request, service.kubelet_directory())?;
            Ok((service.targets.claim(&volume.target)?, volume))
        };
        self.call("PublishVolume", subject, parse, |publisher, (_claim, volume), is_cancelled| {
            let outcome = match publisher.publish(&volume, is_cancelled)? {
                Outcome::Created => api::publish_volume_response::Outcome::Created,
                Outcome::Unchanged => api::publish_volume_response::Outcome::Unchanged,
                Outcome::Replaced => api::publish_volume_response::Outcome::Replaced,
            };
            Ok(api::PublishVolumeResponse { outcome: outcome.into() })
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
            let target = target_path(target, service.kubelet_directory())?;
            Ok((service.targets.claim(&target)?, id, target))
        };
        self.call("UnpublishVolume", subject, parse, |publisher, (_claim, id, target), _| {
            volume::unpublish(&publisher.kubelet_directory, &id, &target)?;
            Ok(api::UnpublishVolumeResponse {})
        })
        .await
    }

    async fn get_volume_stats(
        &self,
        request: Request<api::GetVolumeStatsRequest>,
    ) -> std::result::Result<Response<api::GetVolumeStatsResponse>, Status> {
        let api::GetVolumeStatsRequest { volume_id: id, target_path: target } = request.into_inner();
        let subject = Subject { volume_id: id.clone(), target_path: target.clone() };
        let parse = |service: &Self| Ok((volume_id(id)?, target_path(target, service.kubelet_directory())?));
        self.call("GetVolumeStats", subject, parse, |publisher, (id, target), _| stats(publisher, &id, &target)).await
    }

    async fn list_volumes(
        &self,
        _: Request<api::ListVolumesRequest>,
    ) -> std::result::Result<Response<api::ListVolumesResponse>, Status> {
        self.call(
            "ListVolumes",
            Subject::default(),
            |_| Ok(()),
            |publisher, (), _| {
                let volumes = volume::list(&publisher.kubelet_directory)?
                    .into_iter()
                    .map(|listed| api::Volume {
                        volume_id: listed.volume_id,
                        target_path: listed.target.to_string_lossy().into_owned(),
                    })
                    .collect();
                Ok(api::ListVolumesResponse { volumes })
            },
        )
        .await
    }

    async fn describe_map(
        &self,
        request: Request<api::DescribeMapRequest>,
    ) -> std::result::Result<Response<api::DescribeMapResponse>, Status> {
        let parse = |_: &Self| Source::parse(request.into_inner().source);
        self.call("DescribeMap", Subject::default(), parse, |publisher, source, _| describe(publisher, &source)).await
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

fn stats(publisher: &Publisher, id: &str, target: &Path) -> Result<api::GetVolumeStatsResponse> {
    let absent = || Error::NotFound(format!("volume {id} is not published at {}", target.display()));
    let place = Place::open(&publisher.kubelet_directory, target).map_err(|_| absent())?;
    let Found::Volume(mounted) = volume::observe(&place)? else { return Err(absent()) };
    if !mounted.is(id) {
        return Err(absent());
    }
    let files = mounted.files()?;
    let mut memory_bytes = 0;
    for file in files.values() {
        memory_bytes += bpf::map_memory(file.map.fd.as_fd())?;
    }
    Ok(api::GetVolumeStatsResponse { maps: u32::try_from(files.len()).unwrap_or(u32::MAX), memory_bytes })
}

fn describe(publisher: &Publisher, source: &Source) -> Result<api::DescribeMapResponse> {
    let map = publisher.sources.resolve(source, IfAbsent::Fail)?;
    let info = map.info;
    Ok(api::DescribeMapResponse {
        map: Some(api::MapDescription {
            id: info.id,
            name: info.name().to_owned(),
            r#type: map_type::name(info.kind).into_owned(),
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: info.flags,
            memory_bytes: bpf::map_memory(map.fd.as_fd())?,
        }),
    })
}
