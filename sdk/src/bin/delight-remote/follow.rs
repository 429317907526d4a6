//! A subscription, made of lists that are asked for again and again: the server tells of no change of a machine's sessions
//! that the account's own rows do not show.

use std::collections::BTreeMap;
use std::time::Duration;

use delight_proto::api::envelope::{Notification, Version};
use delight_proto::api::method::{
    CHANGE, Change, Empty, SessionGet, SessionList, SessionRef, SubscribeParams, SubscribeResult,
};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::SessionView;
use serde_json::Value;
use tokio::time::sleep;

use crate::machine::{PATIENCE, Remote};
use crate::serve::Out;

/// Between two lists: at once after a change, more and more seldom while nothing changes.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// A subscription that has begun.
pub(crate) struct Following {
    only: Option<SessionId>,
    seen: BTreeMap<SessionId, SessionView>,
}

/// Begins one.
pub(crate) async fn begin(remote: &Remote, params: Value) -> Result<(Value, Following), Refusal> {
    let params: SubscribeParams = serde_json::from_value(params)
        .map_err(|e| Refusal::new(Code::BadParams, "the parameters cannot be read", e.to_string()))?;
    let only = match params.session {
        Some(session) => Some(remote.call_as::<SessionGet>(&SessionRef { session }, PATIENCE).await?.id),
        None => None,
    };
    let mut following = Following { only, seen: BTreeMap::new() };
    following.look(remote).await?;
    let sessions = following.seen.values().cloned().collect();
    let answer = serde_json::to_value(SubscribeResult { sessions })
        .map_err(|e| Refusal::new(Code::Internal, "the answer cannot be written", e.to_string()))?;
    Ok((answer, following))
}

impl Following {
    /// Tells changes until nobody listens any longer.
    pub(crate) async fn tell(mut self, remote: &Remote, out: &Out) {
        let mut pause = PAUSES.0;
        loop {
            sleep(pause).await;
            // While the machine is away nothing of it changes that anybody could know.
            let changes = self.look(remote).await.unwrap_or_default();
            pause = if changes.is_empty() { (pause * 2).min(PAUSES.1) } else { PAUSES.0 };
            for change in changes {
                let told = Notification { jsonrpc: Version, method: CHANGE.to_owned(), params: change };
                if !out.put(&told).await {
                    return;
                }
            }
        }
    }

    async fn look(&mut self, remote: &Remote) -> Result<Vec<Change>, Refusal> {
        let list = match self.only {
            Some(only) => {
                match remote.call_as::<SessionGet>(&SessionRef { session: only.to_string() }, PATIENCE).await
                {
                    Ok(view) => vec![view],
                    Err(refusal) if refusal.code == Code::NotFound => Vec::new(),
                    Err(refusal) => return Err(refusal),
                }
            }
            None => remote.call_as::<SessionList>(&Empty {}, PATIENCE).await?.sessions,
        };
        Ok(self.compare(list.into_iter()))
    }

    /// Takes a list and says what changed.
    fn compare(&mut self, list: impl Iterator<Item = SessionView>) -> Vec<Change> {
        let now: BTreeMap<SessionId, SessionView> = list.map(|view| (view.id, view)).collect();
        let gone = self.seen.keys().filter(|id| !now.contains_key(id)).map(|id| Change::Removed { id: *id });
        let changed = now.values().filter(|view| self.seen.get(&view.id) != Some(view));
        let changed = changed.map(|view| Change::Session { session: Box::new(view.clone()) });
        let changes = gone.chain(changed).collect();
        self.seen = now;
        changes
    }
}
