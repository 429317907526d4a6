//! Calls of phones: opened, checked, remembered, carried out, answered once each.

use std::sync::Arc;

use delight_crypto::Opened;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounds;
use delight_proto::sync::rpc::{Address, Params, RpcCall, answer, bind_answer};
use delight_transport::socketio::{AckSender, Args};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::ids::Ids;
use super::vault::{Scope, SessionKeys, Vault};
use crate::actor::wall_ms;
use crate::remote::{Remote, ServerIds as _};

/// Calls carried out at once: a few phones and terminals from afar, whose reads may each wait for 20 s. More is a storm, and
/// gets refusals.
const AT_ONCE: usize = 128;

/// Who asks, as far as it can be known: calls do not say which device of the account sent them.
const PHONE: &str = "phone";

/// Answers calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    vault: Arc<Vault>,
    ids: Ids,
    remote: Remote,
    room: Arc<Semaphore>,
}

/// Whose key a call is sealed with.
enum Whose {
    Machine,
    Session(delight_proto::id::SessionId, Arc<SessionKeys>),
}

impl Calls {
    pub(super) fn new(vault: Arc<Vault>, ids: Ids, remote: Remote) -> Self {
        Self { vault, ids, remote, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Takes a call on. It is answered exactly once, whatever becomes of it.
    pub(super) fn take(&self, call: RpcCall, ack: AckSender) {
        let calls = self.clone();
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => drop(tokio::spawn(async move {
                let text = calls.text(&call).await;
                reply(ack, text).await;
                drop(room);
            })),
            Err(_) => drop(tokio::spawn(reply(ack, plain("too many calls at once; ask again")))),
        }
    }

    /// Waits until every call that was taken on is answered.
    pub(super) async fn answered(&self) {
        // The semaphore is never closed.
        drop(self.room.acquire_many(u32::try_from(AT_ONCE).unwrap_or(u32::MAX)).await);
    }

    /// The answer as it travels.
    async fn text(&self, call: &RpcCall) -> String {
        let Ok(address) = call.method.parse::<Address>() else { return plain("there is no such method") };
        let whose = if address.id == self.vault.linked.machine {
            Some(Whose::Machine)
        } else {
            self.ids.local_id(&address.id).and_then(|id| Some(Whose::Session(id, self.vault.session(id)?)))
        };
        let Some(whose) = whose else { return plain("this machine has no session of that id") };
        let sealed = call.params.expose().as_str();
        if Params::looks_plain(sealed) {
            return plain("calls must be sealed");
        }
        let scope = match &whose {
            Whose::Machine => &self.vault.machine,
            Whose::Session(_, keys) => &keys.scope,
        };
        let Ok(opened) = scope.key().open_base64(sealed) else {
            // Sealed with another key: nobody who could read a sealed answer has sent it.
            return plain("the call is not sealed with this machine's or session's key");
        };
        match self.carry_out(&whose, scope, &address, &opened).await {
            Ok((params, value)) => self.seal(scope, Some(&params), value).await,
            Err(refusal) => {
                tracing::info!(method = %address.method, %refusal, "a call was refused");
                self.seal(scope, None, answer::error(&refusal.to_string())).await
            }
        }
    }

    async fn carry_out(
        &self,
        whose: &Whose,
        scope: &Scope,
        address: &Address,
        opened: &Opened,
    ) -> Result<(Params, Value), Refusal> {
        let params = Params::open(opened.json(), address)?;
        params.check_time(wall_ms())?;
        scope.guard.admit_call(opened.mark(), params.issued_at()).await?;
        let value = match whose {
            Whose::Machine => self.remote.machine(&address.method, &params, PHONE).await,
            Whose::Session(id, _) => self.remote.session(*id, &address.method, &params, PHONE).await,
        };
        Ok((params, value))
    }

    /// Seals an answer, bound to its call when that was bound; one that is too large is replaced by a failure.
    async fn seal(&self, scope: &Scope, params: Option<&Params>, value: Value) -> String {
        let bound =
            |value| params.map_or_else(|| Value::clone(&value), |params| bind_answer(params, value.clone()));
        match seal(scope, &bound(value)).await {
            Ok(text) if text.len() <= bounds::RPC_ANSWER => text,
            Ok(_) => {
                let failed = answer::failed("the answer is too large to be sent; ask for less");
                seal(scope, &bound(failed)).await.unwrap_or_else(|refusal| plain(&refusal.reason))
            }
            Err(refusal) => plain(&refusal.reason),
        }
    }
}

/// Remembered as ours before it is sent: the server must not be able to hand an answer back as a call.
async fn seal(scope: &Scope, value: &Value) -> Result<String, Refusal> {
    let json = serde_json::to_vec(value)
        .map_err(|e| Refusal::new(Code::Internal, "the answer cannot be written", e.to_string()))?;
    let sealed = scope.seal(&json)?;
    scope.guard.note_own_soon(sealed.mark()).await?;
    Ok(sealed.to_base64())
}

/// An answer without a seal, to somebody who has no key. It tells nothing but that there is no answer.
fn plain(reason: &str) -> String {
    answer::error(reason).to_string()
}

async fn reply(ack: AckSender, text: String) {
    let args = match Args::one(&text) {
        Ok(args) => args,
        Err(error) => return tracing::warn!(%error, "an answer cannot be written"),
    };
    if let Err(error) = ack.send(&args).await {
        tracing::debug!(%error, "an answer was not sent");
    }
}
