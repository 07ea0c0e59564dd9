//! Finds a map in the kernel by its name, and perhaps by a program that uses it.

use std::fmt::Write as _;
use std::os::fd::AsFd;

use super::index::Found;
use super::{Index, Map, map};
use crate::error::{Error, Result};
use crate::map_type;
use crate::request::Loaded;
use crate::sys::bpf;

/// Finds the only map that matches: among the maps of matching programs or, if no program is named, among all maps. A
/// program id saves the search. Objects that a security module hides from the pinner do not match.
///
/// # Errors
/// [`Error::NotYet`] if none matches, [`Error::Unusable`] with the candidates if several do.
pub fn find(index: &Index, wanted: &Loaded) -> Result<Map> {
    let names_program = wanted.program.is_some() || wanted.tag.is_some();
    let told = match wanted.program_id {
        Some(id) => Found { ids: vec![id], ..Found::default() },
        None if names_program => index.programs(|name, tag| fits(wanted, name, tag))?,
        None => index.maps(&wanted.map)?,
    };
    let mut found = if names_program { by_program(wanted, &told.ids)? } else { by_name(&wanted.map, &told.ids)? };
    if found.len() > 1 {
        return Err(Error::Unusable(ambiguous(wanted, &found)));
    }
    found.pop().map(|candidate| candidate.map).ok_or_else(|| Error::NotYet(absent(wanted, told.hidden)))
}

fn fits(wanted: &Loaded, name: &str, tag: &str) -> bool {
    wanted.program.as_ref().is_none_or(|wanted| wanted == name)
        && wanted.tag.as_ref().is_none_or(|wanted| wanted == tag)
}

/// A Kubernetes event holds only a short message.
const MOST_LISTED: usize = 8;

struct Candidate {
    map: Map,
    /// The program that uses it, for messages.
    used_by: Option<String>,
}

fn by_name(name: &str, ids: &[u32]) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for &id in ids {
        if let Some(map) = open_if_named(id, name)? {
            found.push(Candidate { map, used_by: None });
        }
    }
    Ok(found)
}

fn by_program(wanted: &Loaded, ids: &[u32]) -> Result<Vec<Candidate>> {
    let mut found: Vec<Candidate> = Vec::new();
    for &id in ids {
        let Some(program) = bpf::program_by_id(id)? else { continue };
        let program = bpf::program_info(program.as_fd())?;
        if !fits(wanted, &program.name, &program.tag) {
            continue;
        }
        for id in program.map_ids {
            if found.iter().any(|candidate| candidate.map.info.id == id) {
                continue;
            }
            if let Some(map) = open_if_named(id, &wanted.map)? {
                let used_by = format!("program {} {:?} tag {}", program.id, program.name, program.tag);
                found.push(Candidate { map, used_by: Some(used_by) });
            }
        }
    }
    Ok(found)
}

fn open_if_named(id: u32, name: &str) -> Result<Option<Map>> {
    let Some(fd) = bpf::map_by_id(id)? else { return Ok(None) };
    let map = map(fd)?;
    Ok((map.info.name() == name).then_some(map))
}

fn description(wanted: &Loaded) -> String {
    let mut text = format!("map {:?}", wanted.map);
    if let Some(program) = &wanted.program {
        let _ = write!(text, " of a program {program:?}");
    }
    if let Some(id) = wanted.program_id {
        let _ = write!(text, " with id {id}");
    }
    if let Some(tag) = &wanted.tag {
        let _ = write!(text, " with tag {tag}");
    }
    text
}

fn absent(wanted: &Loaded, hidden: usize) -> String {
    let mut text = format!("no {} is loaded yet: start the program that loads it", description(wanted));
    if hidden > 0 {
        let _ = write!(text, " (a security module hides {hidden} of the node's programs or maps from the pinner)");
    }
    text
}

fn ambiguous(wanted: &Loaded, found: &[Candidate]) -> String {
    let mut candidates: Vec<_> = found
        .iter()
        .take(MOST_LISTED)
        .map(|candidate| {
            let info = &candidate.map.info;
            let mut text = format!("id {} ({}, {} entries", info.id, map_type::name(info.kind), info.max_entries);
            if let Some(program) = &candidate.used_by {
                let _ = write!(text, ", {program}");
            }
            text + ")"
        })
        .collect();
    if found.len() > MOST_LISTED {
        candidates.push(format!("{} more", found.len() - MOST_LISTED));
    }
    let hint = if wanted.tag.is_none() { "; name the program or its tag to choose one" } else { "" };
    format!("{} maps in the kernel fit {}: {}{hint}", found.len(), description(wanted), candidates.join(", "))
}
