//! Making and ending the connection to a holder.

use std::sync::Arc;

use delight_core::session::{Happening, Session};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::HolderIdentity;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Reached, SessionBody, Shared};
use crate::process::adopt::{Contact, greeted, identity_of, part, released, seek};
use crate::process::link::Link;

type Process = JoinHandle<Result<std::os::unix::net::UnixStream, Refusal>>;

impl SessionBody {
    /// Starts the holder's process at once, on a thread of its own: it comes up while the record is being stored.
    pub(super) fn begin_launch(&mut self, state: &Session) {
        self.link = None;
        self.launching = true;
        let (id, retain) = (self.id, state.record().spec.retain_bytes);
        let launcher = Arc::clone(&self.shared.launcher);
        let process = spawn_blocking(move || launcher.launch(id, retain));
        let shared = Arc::clone(&self.shared);
        self.reaching = Some(Box::pin(async move { Reached::Launched(meet(process, id, &shared).await) }));
    }

    pub(super) fn begin_adopt(&mut self, state: &Session) {
        let (record, shared) = (state.record().clone(), Arc::clone(&self.shared));
        self.link = None;
        self.reaching =
            Some(Box::pin(async move { Reached::Contact(seek(&shared.launcher.place, &record).await) }));
    }

    /// The connection is over: finds out whether the holder is, too.
    pub(super) fn begin_part(&mut self, reason: String) {
        let (id, shared) = (self.id, Arc::clone(&self.shared));
        self.link = None;
        self.resizes.clear();
        self.pieces.clear();
        self.reaching =
            Some(Box::pin(async move { Reached::Contact(part(&shared.launcher.place, id, reason).await) }));
    }

    /// Gives up a launch: a holder whose connection ends before any `Start` exits by itself.
    pub(super) fn give_up_launch(&mut self) {
        let Some(launch) = self.reaching.take() else { return };
        let (id, shared) = (self.id, Arc::clone(&self.shared));
        self.launching = false;
        self.reaching = Some(Box::pin(async move {
            // Its process must be there before it can be seen to end. The connection is dropped with the result.
            drop(launch.await);
            Reached::Contact(part(&shared.launcher.place, id, "its start was given up".to_owned()).await)
        }));
    }

    /// What the core is told of a contact that has been made or ended.
    pub(super) fn reached(&mut self, reached: Reached) -> Happening {
        self.launching = false;
        match reached {
            Reached::Launched(Ok((identity, link))) => {
                self.link = Some(link);
                Happening::HolderUp { identity }
            }
            Reached::Launched(Err(refusal)) => Happening::HolderFailed { refusal },
            Reached::Contact(Contact::Found(found, link)) => {
                self.link = Some(link);
                Happening::Adopted(found)
            }
            Reached::Contact(Contact::Gone { ended, reason, same_boot }) => {
                Happening::HolderGone { ended, reason, same_boot }
            }
            Reached::Contact(Contact::Unreachable { reason }) => Happening::HolderUnreachable { reason },
        }
    }
}

/// Waits for a process that is being started, and for its greeting.
async fn meet(process: Process, id: SessionId, shared: &Shared) -> Result<(HolderIdentity, Link), Refusal> {
    let failed = |reason: String| Refusal::new(Code::StartFailed, "the holder could not be started", reason);
    let stream = process.await.map_err(|e| failed(e.to_string()))??;
    let mut link = Link::open(stream).map_err(|e| failed(e.to_string()))?;
    match greeted(&mut link, id).await {
        Ok(welcome) => Ok((identity_of(&welcome, &shared.launcher.place), link)),
        Err(refusal) => {
            // "Nothing of it is left" must be true before it is said: without a connection the holder ends.
            drop(link);
            let log = shared.launcher.place.session(id).join("holder.log");
            if let Err(still) = released(&shared.launcher.place, id).await {
                tracing::warn!(session = %id, still, "a holder that did not greet is still there");
            }
            Err(failed(refusal.reason).fix(format!("see {}", log.display())))
        }
    }
}
