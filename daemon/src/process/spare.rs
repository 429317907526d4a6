//! One holder started ahead of the session it will hold.
//!
//! Executing a program costs more than all the rest of a spawn. So the daemon keeps one holder waiting: an ordinary one,
//! with an id nobody has yet, its lock, its directory and its socket. The next session gets that id and finds its holder
//! there. Everything that holds for a holder before its `Start` holds for it: it has promised nothing, and it exits by
//! itself when the daemon's connection ends. What a killed daemon's leaves (a directory without a record in it) the next
//! daemon deletes.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{HolderIdentity, default_retain_bytes};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::adopt::{greeted, identity_of, released};
use super::launch::Launcher;
use super::link::Link;

/// How long after the daemon's start the first one is started: whoever started it is likely to spawn at once, and then
/// two holders would come up at the same time.
const AT_FIRST: Duration = Duration::from_millis(50);

/// How long after a spawn the next one is started: by then the session that was spawned has what it needs of the
/// machine. A burst of spawns finds one this often; the others start their own.
const AFTER_A_SPAWN: Duration = Duration::from_millis(10);

/// A holder that has greeted and waits for its `Start`.
#[derive(Debug)]
pub(crate) struct Spare {
    id: SessionId,
    pub(crate) identity: HolderIdentity,
    pub(crate) link: Link,
}

/// The one that waits, if it does. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Spares(Arc<Waiting>);

#[derive(Debug)]
struct Waiting {
    launcher: Arc<Launcher>,
    ready: Mutex<Option<Spare>>,
    used: Notify,
}

impl Spares {
    pub(crate) fn new(launcher: Arc<Launcher>) -> Self {
        Self(Arc::new(Waiting { launcher, ready: Mutex::default(), used: Notify::new() }))
    }

    /// The id a new session should have to find its holder waiting. One whose holder has gone is forgotten.
    pub(crate) fn id(&self, retain_bytes: Option<u64>) -> Option<SessionId> {
        // The one thing a holder is told at its start that differs between sessions.
        if retain_bytes.is_some_and(|asked| asked != default_retain_bytes()) {
            return None;
        }
        let mut ready = self.ready();
        if ready.as_ref().is_some_and(|spare| spare.link.has_ended()) {
            *ready = None;
        }
        ready.as_ref().map(|spare| spare.id)
    }

    /// The holder for a session that is made now, if it waits for that one. Another is started soon.
    pub(crate) fn take(&self, id: SessionId) -> Option<Spare> {
        self.0.used.notify_one();
        self.ready().take_if(|spare| spare.id == id)
    }

    /// Keeps one waiting. Never ends; dropping it starts no more.
    pub(crate) async fn keep(&self) {
        let mut after = AT_FIRST;
        loop {
            tokio::time::sleep(after).await;
            after = AFTER_A_SPAWN;
            if self.ready().is_none() {
                match self.start().await {
                    Ok(spare) => *self.ready() = Some(spare),
                    // The next spawn meets the same fault and tells it to somebody.
                    Err(refusal) => tracing::warn!(%refusal, "no holder could be started ahead"),
                }
            }
            self.0.used.notified().await;
        }
    }

    async fn start(&self) -> Result<Spare, Refusal> {
        let failed =
            |reason: String| Refusal::new(Code::StartFailed, "a holder could not be started", reason);
        let mut random = [0u8; 10];
        getrandom::fill(&mut random).map_err(|e| failed(format!("no randomness: {e}")))?;
        let id = SessionId::from_random(random);
        let launcher = Arc::clone(&self.0.launcher);
        let process = spawn_blocking(move || launcher.launch(id, default_retain_bytes())).await;
        let mut link =
            Link::open(process.map_err(|e| failed(e.to_string()))??).map_err(|e| failed(e.to_string()))?;
        let welcome = greeted(&mut link, id).await?;
        Ok(Spare { id, identity: identity_of(&welcome, &self.0.launcher.place), link })
    }

    /// Ends the one that waits and deletes what it had.
    pub(crate) async fn end(&self) {
        let Some(Spare { id, link, .. }) = self.ready().take() else { return };
        drop(link);
        let place = &self.0.launcher.place;
        let dir = place.session(id);
        let gone = match released(place, id).await {
            Ok(()) => spawn_blocking(move || fs::remove_dir_all(dir)).await.unwrap_or_else(|e| Err(e.into())),
            Err(still) => Err(io::Error::other(still)),
        };
        if let Err(e) = gone {
            tracing::warn!(session = %id, error = %e, "a holder that was not needed left its directory");
        }
    }

    fn ready(&self) -> MutexGuard<'_, Option<Spare>> {
        // Nothing panics while it is held.
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
