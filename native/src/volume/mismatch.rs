//! How a mounted volume differs from what is requested at its target, in the words of the pod's author. The volume stays
//! as it is.

use std::collections::BTreeMap;
use std::ffi::CString;

use super::Modes;
use super::identify::Layout;
use super::observe::Mounted;
use crate::error::{Error, Result};
use crate::kubelet::Place;
use crate::request::VolumeMap;
use crate::text::list;

/// Refuses a request. `how`: what the mounted volume was published with, and what is asked for now.
pub fn otherwise(place: &Place, how: &str) -> Error {
    Error::Occupied(format!(
        "{} was published before with {how}; none of this changes in a running pod: delete the pod and create it again",
        place.path.display()
    ))
}

/// Compares a mounted volume with a request, except for its files.
///
/// # Errors
/// [`Error::Occupied`] naming the first difference.
pub fn same_volume(mounted: &Mounted, volume_id: &str, layout: Layout, gid: Option<u32>, place: &Place) -> Result<()> {
    if !mounted.is(volume_id) {
        let (target, other) = (place.path.display(), mounted.shown_id());
        return Err(Error::Occupied(format!(
            "{target} holds another volume, {other}, not {volume_id:?}: delete the pod and create it again"
        )));
    }
    match (mounted.layout, layout) {
        (Layout::Workspace, Layout::Workspace) | (Layout::Delegation, Layout::Delegation) => return Ok(()),
        (Layout::Delegation, _) => {
            return Err(otherwise(place, "a delegation, now asked for maps or a workspace"));
        }
        (_, Layout::Delegation) => {
            return Err(otherwise(place, "maps or a workspace, now asked for a delegation"));
        }
        (Layout::Workspace, _) => {
            return Err(otherwise(place, "a workspace to write to, now asked for readOnly: true or maps"));
        }
        (_, Layout::Workspace) => {
            return Err(otherwise(place, "maps or readOnly: true, now asked for a workspace to write to"));
        }
        (is, asked) if is == asked => {}
        (is, asked) => {
            let host_users = |layout: Layout| layout != Layout::Tmpfs;
            let (is, asked) = (host_users(is), host_users(asked));
            return Err(otherwise(place, &format!("hostUsers \"{is}\", now asked for hostUsers \"{asked}\"")));
        }
    }
    let group =
        |gid: u32, mode: u32| if mode & 0o005 == 0 { format!("fsGroup {gid}") } else { "no fsGroup".to_owned() };
    let modes = Modes::new(gid, layout == Layout::Tmpfs);
    let asked = (gid.unwrap_or(0), modes.directory.bits());
    if (mounted.gid, mounted.mode) != asked {
        let (is, asked) = (group(mounted.gid, mounted.mode), group(asked.0, asked.1));
        return Err(otherwise(place, &format!("{is}, now asked for {asked}")));
    }
    Ok(())
}

/// How the files of a mounted volume, with whether each is writable, differ from the requested maps, in words; `None` if
/// they do not.
pub fn differences<'a>(files: impl Iterator<Item = (&'a CString, bool)>, asked: &[VolumeMap]) -> Option<String> {
    let access = |writable: bool| if writable { "read-write" } else { "read-only" };
    let shown = |VolumeMap { name, file, .. }: &VolumeMap| {
        if file.to_bytes() == name.as_bytes() {
            format!("map {name:?}")
        } else {
            format!("file {file:?} of map {name:?}")
        }
    };
    let mut gone: BTreeMap<_, _> = files.collect();
    let mut found = Vec::new();
    for map in asked {
        let wanted = access(map.writable);
        match gone.remove(&map.file) {
            None => found.push(format!("{} is not in it (asked for {wanted})", shown(map))),
            Some(is) if is != map.writable => {
                found.push(format!("{} is {} (asked for {wanted})", shown(map), access(is)));
            }
            Some(_) => {}
        }
    }
    found.extend(gone.keys().map(|file| format!("file {file:?} is not asked for")));
    (!found.is_empty()).then(|| list(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, writable: bool) -> VolumeMap {
        let file = CString::new(name).unwrap_or_default();
        VolumeMap { name: name.to_owned(), uid: None, file, writable, source: None }
    }

    #[test]
    fn each_difference_is_named() {
        let files = [(c"flows".to_owned(), false), (c"limits".to_owned(), true), (c"old".to_owned(), false)];
        let there = || files.iter().map(|(file, writable)| (file, *writable));
        let same = [asked("old", false), asked("limits", true), asked("flows", false)];
        assert_eq!(differences(there(), &same), None);
        let other = [asked("flows", true), asked("limits", false), asked("new", false)];
        assert_eq!(
            differences(there(), &other).as_deref(),
            Some(
                "map \"flows\" is read-only (asked for read-write), map \"limits\" is read-write (asked for read-only), \
                 map \"new\" is not in it (asked for read-only), file \"old\" is not asked for"
            )
        );
    }

    #[test]
    fn many_differences_are_counted() {
        let many: Vec<_> = (0..256).map(|number| asked(&format!("{number:0128}"), false)).collect();
        let text = differences(std::iter::empty(), &many).unwrap_or_default();
        assert!(text.len() < 1024 && text.ends_with(" more"), "{text}");
    }
}
