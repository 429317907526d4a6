//! Calls: who answers what, and asking.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Event, reply};
use crate::rpc;
use crate::socket::packet;
use crate::store::StoreError;

#[derive(Deserialize)]
struct Method {
    method: String,
}

#[derive(Deserialize)]
struct Call<'a> {
    method: String,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
}

impl Event<'_> {
    pub(super) fn register(self, event: &str) -> Result<(), StoreError> {
        let action = event.trim_start_matches("rpc-");
        let tell = |name: &str, payload: Value| {
            self.peer.send(packet::event(name, &payload.to_string()).into());
        };
        let method = self.read::<Method>().map(|one| one.method);
        let Some(method) = method.filter(|name| !name.is_empty() && name.len() <= rpc::METHOD_MAX) else {
            tell("rpc-error", json!({ "type": action, "error": "Invalid method name" }));
            return Ok(());
        };
        if action == "unregister" {
            self.shared.hub.unregister(self.peer, &method);
            tell("rpc-unregistered", json!({ "method": method }));
        } else if self.shared.hub.register(self.peer, &method) {
            tell("rpc-registered", json!({ "method": method }));
        } else {
            tell("rpc-error", json!({ "type": action, "error": "Too many methods" }));
        }
        Ok(())
    }

    pub(super) fn call(self) -> Result<(), StoreError> {
        let fail = |why: &str| reply(self.peer, self.ack, &json!({ "ok": false, "error": why }));
        let Some(Call { method, params }) = self.read() else {
            fail("Invalid parameters: method is required");
            return Ok(());
        };
        if method.is_empty() || method.len() > rpc::METHOD_MAX {
            fail("Invalid parameters: method is required");
            return Ok(());
        }
        let Ok(permit) = Arc::clone(self.calls).try_acquire_owned() else {
            fail("Too many calls are waiting for answers");
            return Ok(());
        };
        let (shared, peer, ack) = (Arc::clone(self.shared), Arc::clone(self.peer), self.ack);
        let params = params.map(RawValue::to_owned);
        tokio::spawn(async move {
            let result = tokio::select! {
                result = rpc::call(&shared, &peer, &method, params.as_deref()) => result,
                // Nobody is left to hear the answer.
                () = peer.closing.cancelled() => return,
            };
            drop(permit);
            let Some(ack) = ack else { return };
            let answer = match result {
                Ok(result) => format!(r#"{{"ok":true,"result":{result}}}"#),
                Err(why) => json!({ "ok": false, "error": why }).to_string(),
            };
            peer.send(packet::ack(ack, &answer).into());
        });
        Ok(())
    }
}
