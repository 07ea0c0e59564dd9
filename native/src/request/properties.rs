//! Property tests: what holds for every request, whatever it contains.

use proptest::prelude::*;

use super::*;
use crate::api::source::From;
use crate::error::Error;
use crate::sys::path::is_canonical;

/// Mostly valid, so that the checks of other fields are reached.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[A-Za-z0-9_-]{1,12}", 1 => ".{0,300}", 1 => "[a./\0 ]{0,20}"]
}

fn source() -> impl Strategy<Value = From> {
    let shape = (text(), any::<(u32, u32, u32)>(), prop::collection::vec(text(), 0..3));
    prop_oneof![
        prop_oneof![2 => "(/[a-z.]{1,5}){1,4}", 1 => ".{0,40}"].prop_map(|path| From::Pinned(api::PinnedMap { path })),
        (text(), text(), "[0-9a-fA-F]{16}|.{0,20}", any::<u32>()).prop_map(
            |(map, program, program_tag, program_id)| {
                From::Loaded(api::LoadedMap { map, program, program_tag, program_id })
            }
        ),
        (shape, prop_oneof![Just("hash".to_owned()), Just("array".to_owned()), text()], text()).prop_map(
            |((name, (key_size, value_size, max_entries), flags), r#type, volume_id)| {
                let made = api::CreatedMap { key_size, value_size, max_entries, flags, ..Default::default() };
                From::Created(api::CreatedMap { name, r#type, volume_id, ..made })
            }
        ),
        (text(), text(), text()).prop_map(|(volume_id, path, claim)| From::Workspace(api::WorkspaceMap {
            volume_id,
            path,
            claim
        })),
        (text(), text(), text(), text()).prop_map(|(namespace, service_account, volume, path)| {
            let owner = Some(api::PodOwner { namespace, service_account });
            From::Delegated(api::DelegatedMap { owner, volume, path })
        }),
    ]
}

fn request() -> impl Strategy<Value = api::PublishVolumeRequest> {
    let map = (text(), text(), 0..4, prop::option::of(source())).prop_map(|(name, file_name, access, from)| {
        api::VolumeMap { name, file_name, access, source: from.map(|from| api::Source { from: Some(from) }), uid: None }
    });
    let target = prop_oneof![
        4 => "/kubelet/pods/[a-z0-9-]{1,8}/volumes/kubernetes[.]io~csi/[a-z]{1,5}/mount",
        1 => "(/kubelet|/[a-z.]{0,4}){0,4}",
    ];
    (text(), target, prop::collection::vec(map, 0..5), any::<(Option<u32>, bool, bool, bool)>(), text()).prop_map(
        |(volume_id, target_path, maps, (gid, user_namespace, single_target, renew), request)| {
            let flags = api::PublishVolumeRequest { user_namespace, single_target, renew, ..Default::default() };
            api::PublishVolumeRequest { volume_id, target_path, maps, gid, request, ..flags }
        },
    )
}

fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

proptest! {
    #[test]
    fn what_is_accepted_may_be_relied_on(request in request()) {
        let directory = tempfile::tempdir()?;
        std::fs::create_dir(directory.path().join("pods"))?;
        let kubelet = Kubelet::open(directory.path(), None).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut request = request;
        request.target_path = request.target_path.replacen("/kubelet", &directory.path().display().to_string(), 1);
        let asked = request.clone();
        match Volume::parse(request, &kubelet) {
            Ok(volume) => {
                prop_assert_eq!(volume.target.path().to_str(), Some(&asked.target_path[..]));
                prop_assert!((1..=128).contains(&volume.id.len()) && !volume.id.contains(char::is_control));
                prop_assert!(volume.maps.len() <= MAPS_MAX && (volume.renew || !volume.maps.is_empty()));
                let files: std::collections::HashSet<_> = volume.maps.iter().map(|map| &map.file).collect();
                prop_assert_eq!(files.len(), volume.maps.len());
                for map in &volume.maps {
                    prop_assert!(map.file.to_str().is_ok_and(is_name), "{:?}", map.file);
                    prop_assert!(map.source.is_some() || volume.renew);
                    match &map.source {
                        Some(Source::Pinned(path)) => prop_assert!(path.to_str().is_some_and(is_canonical)),
                        Some(Source::Created(made)) => prop_assert!(made.name.to_str().is_ok_and(is_name)),
                        Some(Source::Workspace(pin)) => {
                            prop_assert!(is_name(&pin.volume_id) && pin.path.is_relative());
                            prop_assert!(pin.path.to_str().is_some_and(|path| !path.contains('.')));
                        }
                        Some(Source::Delegated(pin)) => {
                            prop_assert!(is_name(&pin.volume) && pin.path.is_relative());
                            prop_assert!(pin.path.to_str().is_some_and(|path| !path.contains('.')));
                            prop_assert_eq!(PodOwner::read(&pin.owner.to_string()), Some(pin.owner.clone()));
                        }
                        Some(Source::Loaded(_)) | None => {}
                    }
                }
            }
            Err(Error::InvalidArgument(text)) => prop_assert!(text.contains(": "), "names no field: {text}"),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}
