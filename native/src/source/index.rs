//! Names of the kernel's programs and maps by id, so that a lookup need not open every object.
//!
//! Ids are assigned upwards and names never change. So only ids above the last one seen have to be looked at; whether a
//! match still exists is checked by its id.

use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use crate::sys::bpf;
use crate::sys::{Error, Result};

/// Objects remembered per kind; beyond it, every lookup looks at all objects.
const MOST: usize = 16_384;
/// The kernel's ids wrap at 2^31. From here on, every lookup looks at all objects.
const LAST: u32 = 1 << 30;

/// Names by id.
#[derive(Debug, Default)]
pub struct Index {
    programs: Mutex<Seen<(String, String)>>,
    maps: Mutex<Seen<String>>,
}

/// Objects of one kind.
#[derive(Debug)]
struct Seen<T> {
    last: u32,
    names: Vec<(u32, T)>,
    /// Ids that a security module did not let the pinner open.
    hidden: Vec<u32>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { last: 0, names: Vec::new(), hidden: Vec::new() }
    }
}

/// The result of a lookup.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Ids of the objects that match.
    pub ids: Vec<u32>,
    /// How many objects the pinner may not open.
    pub hidden: usize,
    /// How many objects this lookup looked at.
    pub looked_at: usize,
}

impl Index {
    /// Finds programs by name and tag.
    ///
    /// # Errors
    /// An unexpected kernel error.
    pub fn programs(&self, fits: impl Fn(&str, &str) -> bool) -> Result<Found> {
        let look = |id| {
            let Some(program) = bpf::program_by_id(id)? else { return Ok(None) };
            bpf::program_info(program.as_fd()).map(|program| Some((program.name, program.tag)))
        };
        let mut seen = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        seen.find(bpf::program_ids, look, |(name, tag)| fits(name, tag))
    }

    /// Finds maps by name.
    ///
    /// # Errors
    /// An unexpected kernel error.
    pub fn maps(&self, wanted: &str) -> Result<Found> {
        let look = |id| {
            let Some(map) = bpf::map_by_id(id)? else { return Ok(None) };
            bpf::map_info(map.as_fd()).map(|map| Some(map.name().to_owned()))
        };
        let mut seen = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        seen.find(bpf::map_ids, look, |name| name == wanted)
    }
}

impl<T> Seen<T> {
    fn find<Ids: Iterator<Item = Result<u32>>>(
        &mut self,
        ids_after: impl Fn(u32) -> Ids,
        look: impl Fn(u32) -> Result<Option<T>>,
        fits: impl Fn(&T) -> bool,
    ) -> Result<Found> {
        if self.last > LAST || self.names.len() > MOST {
            *self = Self::default();
        }
        let mut looked_at = 0;
        let hidden = std::mem::take(&mut self.hidden);
        for id in hidden.into_iter().map(Ok).chain(ids_after(self.last)) {
            let id = id?;
            looked_at += 1;
            match look(id) {
                Ok(name) => self.names.extend(name.map(|name| (id, name))),
                Err(Error { errno: Errno::PERM, .. }) => self.hidden.push(id),
                Err(error) => return Err(error),
            }
            self.last = self.last.max(id);
        }
        // Forget matches that are gone, or reloading a program again and again would fill the index.
        self.names.retain(|(id, name)| !fits(name) || !matches!(look(*id), Ok(None)));
        let ids = self.names.iter().filter(|(_, name)| fits(name)).map(|(id, _)| *id).collect();
        Ok(Found { ids, hidden: self.hidden.len(), looked_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Context;

    fn find(seen: &mut Seen<u32>, there: &[u32], wanted: u32) -> (Vec<u32>, usize) {
        let ids_after = |last| there.iter().copied().filter(move |id| *id > last).map(Ok);
        let look = |id| Ok(there.binary_search(&id).is_ok().then_some(id % 10));
        let found = seen.find(ids_after, look, |name| *name == wanted);
        found.map(|found| (found.ids, found.looked_at)).unwrap_or_default()
    }

    #[test]
    fn what_was_seen_is_not_looked_at_again() {
        let mut seen = Seen::default();
        assert_eq!(find(&mut seen, &[1, 2, 11], 1), (vec![1, 11], 3));
        assert_eq!(find(&mut seen, &[2, 11], 2), (vec![2], 0));
        assert_eq!(find(&mut seen, &[2, 11, 21], 1), (vec![11, 21], 1));
        assert_eq!(seen.names.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 11, 21]);
    }

    #[test]
    fn what_may_not_be_opened_is_passed_over_and_tried_again() {
        let mut seen = Seen::default();
        let mut find = |forbidden: u32| {
            let ids_after = |last| (1..=3).filter(move |id| *id > last).map(Ok);
            let look = |id| {
                let refused = (id == forbidden).then_some(Errno::PERM);
                refused.map_or(Ok(Some("name")), Err).context("bpf", String::new)
            };
            let found = seen.find(ids_after, look, |_| true);
            found.map(|Found { mut ids, hidden, .. }| {
                ids.sort_unstable();
                (ids, hidden)
            })
        };
        assert_eq!(find(2).ok(), Some((vec![1, 3], 1)));
        assert_eq!(find(0).ok(), Some((vec![1, 2, 3], 0)));
        assert_eq!(find(0).ok(), Some((vec![1, 2, 3], 0)));
    }

    #[test]
    fn close_to_the_last_id_and_beyond_the_bound_all_is_looked_at() {
        let mut seen = Seen::default();
        for _ in 0..2 {
            assert_eq!(find(&mut seen, &[1, LAST + 1], 1), (vec![1], 2));
        }
        let many: Vec<_> = (1..=20_000).collect();
        let mut seen = Seen::default();
        for _ in 0..2 {
            assert_eq!(find(&mut seen, &many, 1).1, 20_000);
        }
    }
}
