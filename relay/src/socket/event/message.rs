//! Messages and usage: what a session and its watchers tell each other.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Event, NAME_MAX, complain, reply};
use crate::presence::Kind;
use crate::store::{StoreError, message, object};
use crate::update::{Ephemeral, Publication, Recipients};

#[derive(Deserialize)]
struct Text<'a> {
    sid: String,
    message: String,
    #[serde(rename = "localId", default, borrow)]
    local_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    key: String,
    session_id: Option<String>,
    tokens: Value,
    cost: Value,
}

impl Event<'_> {
    pub(super) async fn message(self) -> Result<(), StoreError> {
        let Some(Text { sid, message, local_id }) = self.read() else { return self.misunderstood("message") };
        // As upstream: a localId that is not a string is none.
        let local_id = local_id.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let refusal = if !self.fits(&message) {
            Some("the message is too large")
        } else if local_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > NAME_MAX) {
            Some("the localId is empty or too long")
        } else {
            None
        };
        let (peer, ack) = (Arc::clone(self.peer), self.ack);
        let answer = move |result: Result<message::Receipt, &str>| match result {
            Ok(receipt) => reply(&peer, ack, &json!({ "ok": true, "message": receipt })),
            Err(why) => {
                reply(&peer, ack, &json!({ "ok": false, "error": why }));
                if ack.is_none() {
                    complain(&peer, "message", why);
                }
            }
        };
        if let Some(why) = refusal {
            answer(Err(why));
            return Ok(());
        }
        let (account, sender) = (self.peer.account.clone(), self.peer.number);
        let batch = vec![message::New { content: message, local_id }];
        self.shared
            .store
            .submit(
                move |write| message::store(write, &account, &sid, batch, Some(sender)),
                move |stored| match stored.map(|receipts| receipts.and_then(|mut all| all.pop())) {
                    Ok(Some(receipt)) => answer(Ok(receipt)),
                    Ok(None) => answer(Err("Session not found")),
                    Err(_) => answer(Err("the message could not be stored")),
                },
            )
            .await
    }

    pub(super) async fn usage(self) -> Result<(), StoreError> {
        let Some(Usage { key, session_id, tokens, cost }) = self.read() else {
            return self.misunderstood("usage-report");
        };
        let counted = |value: &Value| value.get("total").is_some_and(Value::is_number);
        if !counted(&tokens) || !counted(&cost) || key.len() > NAME_MAX {
            reply(
                self.peer,
                self.ack,
                &json!({ "success": false, "error": "Invalid usage: totals are missing" }),
            );
            return Ok(());
        }
        // Passed on to whoever watches; nothing is kept, so there is nothing to query later.
        let Some(session) = session_id else {
            reply(self.peer, self.ack, &json!({ "success": true }));
            return Ok(());
        };
        let (account, peer, ack) = (self.peer.account.clone(), Arc::clone(self.peer), self.ack);
        self.shared
            .store
            .submit(
                move |write| {
                    if !object::exists(write.db, Kind::Session, &account, &session)? {
                        return Ok(false);
                    }
                    let body = Ephemeral::Usage {
                        id: &session,
                        key: &key,
                        tokens: &tokens,
                        cost: &cost,
                        timestamp: write.now,
                    };
                    let told = Publication::ephemeral(&account, Recipients::Watchers, &body)?;
                    write.tell(told);
                    Ok(true)
                },
                move |result| match result {
                    Ok(true) => reply(&peer, ack, &json!({ "success": true })),
                    _ => reply(&peer, ack, &json!({ "success": false, "error": "Session not found" })),
                },
            )
            .await
    }
}
