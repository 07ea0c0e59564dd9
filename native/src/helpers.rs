//! Answers the helpers of pods that have a delegation: one thread mounts what workers have opened for them.

use std::sync::Arc;
use std::{io, process, thread};

use tonic::Status;

use crate::call::Line;
use crate::delegation::{Events, Opened};
use crate::error::Error;
use crate::log::Log;
use crate::volume::Publisher;
use crate::watchdog::{EXIT_HUNG, Watchdog};

const METHOD: &str = "Delegate";

/// What answering takes.
#[derive(Debug)]
pub struct Helpers {
    /// Publishes delegations.
    pub publisher: Arc<Publisher>,
    /// What workers have opened.
    pub events: Events,
    /// Is told of each call.
    pub watchdog: Watchdog,
    /// Flushed before the process ends.
    pub log: Log,
}

impl Helpers {
    /// Gives the delegations that are published already new sockets, then starts the thread. It ends the process if the
    /// delegator is gone: a new pinner starts a new one. To be called when no other pinner can be serving.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn serve(self) -> io::Result<()> {
        match self.publisher.serve_delegations() {
            Ok(failed) => {
                for (target, error) in failed {
                    let target = target.path().display().to_string();
                    let error = Status::from(error);
                    tracing::warn!(targetPath = target, error = error.message(), "a delegation is not served");
                }
            }
            Err(error) => tracing::warn!(error = Status::from(error).message(), "no delegation is served"),
        }
        thread::Builder::new().name("helpers".to_owned()).spawn(move || {
            while let Some(opened) = self.events.next() {
                self.answer(opened);
            }
            tracing::error!("the delegator has ended: ending");
            self.log.flush();
            process::exit(EXIT_HUNG);
        })?;
        Ok(())
    }

    fn answer(&self, opened: Opened) {
        let _watched = self.watchdog.watch(METHOD);
        let target = self.publisher.delegator.as_ref().and_then(|delegator| delegator.target(opened.key));
        let shown = target.as_ref().map_or_else(String::new, |target| target.path().display().to_string());
        let line = Line::new(METHOD).about("", &shown);
        let mounted = match target {
            Some(target) => self.publisher.mount_delegated(&target, &opened),
            None => Err(Error::NotFound("the volume is unpublished".to_owned())),
        };
        let mounted = mounted.map_err(Status::from);
        line.end(mounted.as_ref().err());
        opened.answer(mounted.as_ref().err().map(Status::message));
    }
}
