//! Which session is which at the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::Id;
use tokio::sync::watch;

use crate::remote::{ServerIdSoon, ServerIds};

/// How long somebody may wait for the server to know a session: a phone gives up after 30 s.
const KNOWN_WITHIN: Duration = Duration::from_secs(20);

/// The table, and whoever waits for it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ids(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    ours: HashMap<SessionId, Known>,
    theirs: HashMap<Id, SessionId>,
}

/// What the server calls a session.
#[derive(Debug)]
struct Known {
    as_id: Id,
    /// Its calls are registered there; `false` is what another life of the daemon left.
    answers: bool,
}

impl Default for Ids {
    fn default() -> Self {
        Self(Arc::new(Inner { table: Mutex::default(), changed: watch::channel(0).0 }))
    }
}

impl Ids {
    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic while it is held leaves a table that is a table.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server knows the session by this id, and its calls arrive here.
    pub(super) fn learn(&self, id: SessionId, server_id: Id) {
        self.table().enter(id, server_id, true);
        self.0.changed.send_modify(|n| *n += 1);
    }

    /// The server knew the session by this id in another life of the daemon; whether it can be asked there is open.
    pub(super) fn recognise(&self, id: SessionId, server_id: Id) {
        self.table().enter(id, server_id, false);
    }

    /// The session is forgotten.
    pub(super) fn forget(&self, id: SessionId) {
        let mut table = self.table();
        table.ours.remove(&id);
        table.theirs.retain(|_, ours| *ours != id);
    }

    /// The link ended: what another server calls them is another matter.
    pub(super) fn clear(&self) {
        *self.table() = Table::default();
    }

    fn answering(&self, id: SessionId) -> Option<Id> {
        self.table().ours.get(&id).filter(|known| known.answers).map(|known| known.as_id.clone())
    }

    async fn wait(&self, id: SessionId) -> Result<Id, Refusal> {
        let mut changed = self.0.changed.subscribe();
        let found = async {
            loop {
                if let Some(server_id) = self.answering(id) {
                    return server_id;
                }
                // The sender lives as long as `self`.
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(KNOWN_WITHIN, found).await.map_err(|_| {
            let reason = format!("the server has not taken it within {} s", KNOWN_WITHIN.as_secs());
            Refusal::new(Code::Timeout, "the session is not known to the server yet", reason)
                .fix("it runs on this machine and will appear by itself")
                .retry()
        })
    }
}

impl Table {
    fn enter(&mut self, id: SessionId, as_id: Id, answers: bool) {
        if let Some(before) = self.ours.insert(id, Known { as_id: as_id.clone(), answers })
            && before.as_id != as_id
        {
            self.theirs.remove(&before.as_id);
        }
        self.theirs.insert(as_id, id);
    }
}

impl ServerIds for Ids {
    fn server_id(&self, id: SessionId) -> ServerIdSoon<'_> {
        Box::pin(self.wait(id))
    }

    fn known(&self, id: SessionId) -> Option<Id> {
        self.table().ours.get(&id).map(|known| known.as_id.clone())
    }

    fn local_id(&self, id: &Id) -> Option<SessionId> {
        self.table().theirs.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_id_of_another_life_is_told_and_not_yet_promised() {
        let ids = Ids::default();
        let session = SessionId::from_random([7; 10]);
        ids.recognise(session, Id::cut("before"));
        assert_eq!(ids.known(session), Some(Id::cut("before")));
        assert_eq!(ids.local_id(&Id::cut("before")), Some(session));
        assert_eq!(ids.answering(session), None);
        ids.learn(session, Id::cut("after"));
        assert_eq!(ids.wait(session).await.unwrap(), Id::cut("after"));
        assert_eq!(ids.known(session), Some(Id::cut("after")));
        assert_eq!(ids.local_id(&Id::cut("before")), None, "the server has lost what it had");
    }
}
