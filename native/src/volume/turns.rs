//! Which calls wait for each other while they attach or release volumes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Turns to attach. A call takes at most one at a time.
#[derive(Debug, Default)]
pub struct Turns {
    /// Held by each turn: alone for one of the node, with others for those of pods.
    node: RwLock<()>,
    /// The pods whose turn is taken: as many as there are threads, at most.
    taken: Mutex<HashSet<PathBuf>>,
    given_back: Condvar,
}

/// A turn for one pod, until dropped.
#[derive(Debug)]
pub struct PodTurn<'a> {
    turns: &'a Turns,
    pod: &'a Path,
    _node: RwLockReadGuard<'a, ()>,
}

impl Turns {
    /// Waits until nobody else has a turn for the pod that has this directory, nor for the node.
    pub fn of_pod<'a>(&'a self, pod: &'a Path) -> PodTurn<'a> {
        let node = self.node.read().unwrap_or_else(PoisonError::into_inner);
        let is_taken = |taken: &mut HashSet<PathBuf>| taken.contains(pod);
        let mut taken = self.given_back.wait_while(self.taken(), is_taken).unwrap_or_else(PoisonError::into_inner);
        taken.insert(pod.to_owned());
        PodTurn { turns: self, pod, _node: node }
    }

    /// Waits until nobody else has any turn.
    pub fn of_node(&self) -> RwLockWriteGuard<'_, ()> {
        self.node.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PodTurn<'_> {
    fn drop(&mut self) {
        self.turns.taken().remove(self.pod);
        self.turns.given_back.notify_all();
    }
}
