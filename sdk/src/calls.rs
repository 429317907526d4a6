//! Calls to machines and sessions: sealed, bound to their method and moment, and answered by nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use delight_crypto::SealingKey;
use delight_proto::sync::bounded::{Hidden, Id, Name, Text};
use delight_proto::sync::bounds;
use delight_proto::sync::read;
use delight_proto::sync::rpc::{Address, RpcCall, answer, bind_request, read_bound_answer};
use delight_proto::sync::socket::RpcAck;
use serde_json::Value;
use tokio::time::sleep;

use crate::dispatcher::Reply;
use crate::error::{Error, Kind};
use crate::fresh;
use crate::http::json;
use crate::lanes::Lanes;
use crate::state::{Effects, State};

/// Calls that may wait for answers, of all callers: each holds its parameters, at most a packet.
pub(crate) const IN_FLIGHT: usize = 1_024;
/// Wait before a call that was not sent, or may be sent again, is sent again.
const PAUSE: Duration = Duration::from_millis(300);

/// Whom a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Machine(Id),
    Session(Id),
}

impl Target {
    pub(crate) fn id(&self) -> &Id {
        match self {
            Self::Machine(id) | Self::Session(id) => id,
        }
    }
}

/// A call.
pub(crate) struct Question {
    pub(crate) target: Target,
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    /// How long it may take in all.
    pub(crate) limit: Duration,
    /// Whether it may be sent again when no answer came: its parameters hold a key, or it sets what may be set twice.
    pub(crate) repeatable: bool,
}

/// Everything an effect needs to make a call.
pub(crate) struct Caller {
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) effects: Effects,
    pub(crate) key: Arc<SealingKey>,
}

impl Caller {
    /// Asks, again and again if that is allowed, until the time is over.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Value, Error> {
        let begun = Instant::now();
        loop {
            let left = question.limit.saturating_sub(begun.elapsed());
            let error = match self.ask_once(question, left).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let sendable = !error.perhaps_done || question.repeatable;
            let hopeful = matches!(error.kind, Kind::Unreachable | Kind::TimedOut);
            if !(sendable && hopeful) || begun.elapsed() + PAUSE >= question.limit {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask_once(&self, question: &Question, limit: Duration) -> Result<Value, Error> {
        let what = format!("the call {}", question.method);
        let address = Address { id: question.target.id().clone(), method: Name::cut(question.method) };
        let nonce = fresh::token()?;
        let plaintext = bind_request(&address, &question.params, fresh::now_ms(), &nonce).to_string();
        let too_large = |reason: String| Error::new(Kind::TooLarge, what.as_str(), reason);
        let sealed = self
            .key
            .seal(plaintext.as_bytes(), fresh::fresh()?)
            .map_err(|error| too_large(error.to_string()))?;
        if let Target::Session(id) = &question.target {
            // One key seals both ways: what we asked must not come back as something said.
            let (id, mark) = (id.clone(), sealed.mark());
            self.effects.tell(move |state| {
                if let Some(entry) = state.sessions.get_mut(&id) {
                    entry.guard.note_own(mark);
                }
            });
        }
        let params = sealed.to_base64();
        if params.len() > bounds::RPC_ANSWER {
            let reason =
                format!("{} bytes sealed, more than the {} allowed", params.len(), bounds::RPC_ANSWER);
            return Err(too_large(reason));
        }
        let call = RpcCall {
            method: Text::new(address.to_string()).map_err(|long| too_large(long.to_string()))?,
            params: Hidden::new(Text::new(params).map_err(|long| too_large(long.to_string()))?),
        };
        let ack = self
            .lanes
            .ask("rpc-call", json(&call)?, limit)
            .await
            .map_err(|error| Error { what: what.clone(), ..error })?;
        let ack: RpcAck = read::value("the server's answer to a call", &ack).map_err(Error::of_peer)?;
        let Some(result) = ack.result.filter(|_| ack.ok) else {
            return Err(undelivered(&what, ack.error.as_deref().unwrap_or("the server did not say why")));
        };
        let opened = self
            .key
            .open_base64(result.expose().as_str())
            .map_err(|error| Error::unreadable(&what, error).perhaps_done())?;
        let value: Value = read::bytes("the answer to a call", opened.json(), bounds::PLAINTEXT)
            .map_err(|refusal| Error::of_peer(refusal).perhaps_done())?;
        if value.get("rpcBinding").is_none()
            && let Some(failed) = answer::failure(&value)
        {
            // A machine that could not read the binding cannot repeat it. What it says is no more than a hint.
            return Err(Error::new(Kind::MachineRefused, what.as_str(), failed.to_string())
                .fix("if the machine runs another program than delight, it may not understand bound calls"));
        }
        read_bound_answer(&value, &nonce).map_err(|refusal| {
            let error = Error { what: what.clone(), ..Error::of_peer(refusal) };
            error
                .perhaps_done()
                .fix("make sure that the machine runs delight: others do not answer bound calls")
        })
    }
}

/// Why the server did not deliver, in the words servers use.
fn undelivered(what: &str, words: &str) -> Error {
    let lower = words.to_ascii_lowercase();
    if lower.contains("not available") {
        return Error::new(Kind::MachineAway, what, words)
            .fix("check that the machine's daemon runs and is connected, and that the session is alive");
    }
    if lower.contains("timed out") || lower.contains("timeout") {
        return Error::new(Kind::TimedOut, what, words).perhaps_done();
    }
    if lower.contains("too many") {
        return Error::new(Kind::Busy, what, words).fix("wait for answers, then ask again");
    }
    if lower.contains("disconnected") {
        return Error::new(Kind::MachineAway, what, words).perhaps_done();
    }
    Error::new(Kind::ServerRefused, what, words)
}

impl State {
    /// Makes a call and hands its answer to `finish`, on the dispatcher.
    pub(crate) fn ask<T: Send + 'static>(
        &mut self,
        question: Question,
        reply: Reply<T>,
        finish: impl FnOnce(&mut Self, Result<Value, Error>) -> Result<T, Error> + Send + 'static,
    ) {
        match self.caller(&question.target) {
            Err(error) => reply.send(finish(self, Err(error))),
            Ok(caller) => {
                self.in_flight += 1;
                self.effects.run(async move { caller.ask(&question).await }, move |state, answer| {
                    state.in_flight -= 1;
                    let answer = finish(state, answer);
                    reply.send(answer);
                });
            }
        }
    }

    pub(crate) fn caller(&self, target: &Target) -> Result<Caller, Error> {
        if self.in_flight >= IN_FLIGHT {
            return Err(Error::busy("a call", IN_FLIGHT));
        }
        let key = match target {
            Target::Machine(id) => self.machines.get(id).map(|entry| entry.key.clone()),
            Target::Session(id) => self.sessions.get(id).map(|entry| entry.key.clone()),
        };
        let unknown = || {
            let name = if matches!(target, Target::Machine(_)) { "machine" } else { "session" };
            Error::new(Kind::NotFound, "a call", format!("the account has no such {name}"))
                .fix("list what there is, and check that it is paired with this account")
        };
        let key = key.ok_or_else(unknown)??;
        Ok(Caller { lanes: Arc::clone(&self.lanes), effects: self.effects.clone(), key })
    }
}

/// Reads what a method answered.
pub(crate) fn read_answer<T: serde::de::DeserializeOwned>(what: &str, value: &Value) -> Result<T, Error> {
    answer::read(what, value).map_err(Error::of_peer)?.map_err(|failed| refused(what, &failed))
}

/// A method without an answer of its own: whatever it says is done, unless it says that it failed.
pub(crate) fn read_done(what: &str, value: &Value) -> Result<(), Error> {
    answer::failure(value).map_or(Ok(()), |failed| Err(refused(what, &failed)))
}

fn refused(what: &str, failed: &answer::Failed) -> Error {
    Error::new(Kind::MachineRefused, what, failed.to_string())
}
