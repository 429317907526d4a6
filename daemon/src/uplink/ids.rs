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
    ours: HashMap<SessionId, Id>,
    theirs: HashMap<Id, SessionId>,
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

    /// The server knows the session by this id.
    pub(super) fn learn(&self, id: SessionId, server_id: Id) {
        let mut table = self.table();
        if let Some(before) = table.ours.insert(id, server_id.clone())
            && before != server_id
        {
            table.theirs.remove(&before);
        }
        table.theirs.insert(server_id, id);
        drop(table);
        self.0.changed.send_modify(|n| *n += 1);
    }

    /// The server knew the session by this id in another life of the daemon; whether it can be asked there is open.
    pub(super) fn recognise(&self, id: SessionId, server_id: Id) {
        self.table().theirs.insert(server_id, id);
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

    async fn wait(&self, id: SessionId) -> Result<Id, Refusal> {
        let mut changed = self.0.changed.subscribe();
        let found = async {
            loop {
                if let Some(server_id) = self.known(id) {
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

impl ServerIds for Ids {
    fn server_id(&self, id: SessionId) -> ServerIdSoon<'_> {
        Box::pin(self.wait(id))
    }

    fn known(&self, id: SessionId) -> Option<Id> {
        self.table().ours.get(&id).cloned()
    }

    fn local_id(&self, id: &Id) -> Option<SessionId> {
        self.table().theirs.get(id).copied()
    }
}
