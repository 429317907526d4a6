//! The control API from afar: the same methods by the same code as on the control socket, as a phone.

use delight_proto::api::MAX_OUTPUT_WAIT_MS;
use delight_proto::api::envelope::{Request, Version};
use delight_proto::api::method::{Method, SessionEvents, SessionOutput, SessionPage, SessionWait};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;
use delight_proto::sync::bounds;
use delight_proto::sync::rpc::{ApiAnswer, ApiOutcome, ApiRequest, from_afar};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::machine::{json_of, said};
use super::{Remote, in_time};
use crate::api::once;

/// Bytes of an answer as JSON: sealed, in base64 and with what is around it, it stays below [`bounds::RPC_ANSWER`].
const MAX_ANSWER: usize = bounds::RPC_ANSWER / 4 * 3 - 8_192;

/// How long a method may wait here for something to happen: below what the server gives a call, with room for the way.
const MAX_WAIT_MS: u64 = 20_000;
const _: () = assert!(MAX_WAIT_MS < MAX_OUTPUT_WAIT_MS as u64);

/// Methods whose answers can be asked for in smaller pieces, and how.
const IN_PIECES: &[(&str, &str)] =
    &[(SessionOutput::NAME, "max_bytes"), (SessionEvents::NAME, "limit"), (SessionPage::NAME, "limit")];

impl Remote {
    pub(super) async fn answer_api(&self, request: ApiRequest, origin: &Origin) -> Value {
        let outcome = match in_time("the call is not done yet", self.call_api(request, origin)).await {
            Ok(value) => ApiOutcome::Result(value),
            Err(refusal) => ApiOutcome::Refused(refusal),
        };
        said(json_of(&ApiAnswer { daemon: self.daemon.started_ms, outcome }))
    }

    async fn call_api(&self, request: ApiRequest, origin: &Origin) -> Result<Value, Refusal> {
        let method = request.method.as_str();
        let refuse =
            |code, reason: &str| Refusal::new(code, format!("{method} cannot be done from afar"), reason);
        if !self.settings.api {
            let reason = "the owner of this machine does not let others use its control API";
            return Err(refuse(Code::Forbidden, reason).fix("set remote.api in its configuration"));
        }
        if !from_afar(method) {
            let reason = "it belongs to whoever sits at the machine";
            return Err(refuse(Code::Forbidden, reason).fix("run it there"));
        }
        if request.daemon.is_some_and(|known| known != self.daemon.started_ms) {
            let reason = "the daemon was restarted meanwhile: whether an earlier call was done is not known";
            return Err(refuse(Code::Conflict, reason).fix("look at the session, then ask again"));
        }
        let mut params = request.params.unwrap_or_else(|| json!({}));
        self.may_command(method, &params).await?;
        wait_less(method, &mut params);
        loop {
            let request =
                Request { jsonrpc: Version, id: 0, method: method.to_owned(), params: raw(&params)? };
            let answer = once(&self.daemon, origin.clone(), &request).await?;
            let bytes = answer.get().len();
            if bytes <= MAX_ANSWER {
                return serde_json::from_str(answer.get()).map_err(|e| {
                    Refusal::new(Code::Internal, "the answer could not be read", e.to_string())
                });
            }
            if !ask_for_less(method, &mut params) {
                let reason =
                    format!("its answer has {bytes} bytes; at most {MAX_ANSWER} go through the server");
                return Err(refuse(Code::TooLarge, &reason).fix("ask for less, or at the machine itself"));
            }
        }
    }
}

fn raw(params: &Value) -> Result<Option<Box<RawValue>>, Refusal> {
    serde_json::value::to_raw_value(params)
        .map(Some)
        .map_err(|e| Refusal::new(Code::BadParams, "the parameters cannot be read", e.to_string()))
}

/// Bounds how long a call waits; whoever wants to wait longer asks again.
fn wait_less(method: &str, params: &mut Value) {
    let (field, by_itself) = match method {
        SessionOutput::NAME => ("wait_ms", 0),
        SessionWait::NAME => ("timeout_ms", MAX_WAIT_MS),
        _ => return,
    };
    if let Some(object) = params.as_object_mut() {
        let wanted = object.get(field).filter(|wanted| !wanted.is_null());
        // What is no number is refused by the method itself.
        let wanted = wanted.map_or(Some(by_itself), Value::as_u64);
        if let Some(wanted) = wanted {
            object.insert(field.to_owned(), json!(wanted.min(MAX_WAIT_MS)));
        }
    }
}

/// Halves what a call asks for; false when that cannot be.
fn ask_for_less(method: &str, params: &mut Value) -> bool {
    let Some((_, field)) = IN_PIECES.iter().find(|(name, _)| *name == method) else { return false };
    let Some(object) = params.as_object_mut() else { return false };
    let most = if method == SessionOutput::NAME { delight_proto::api::MAX_OUTPUT_BYTES } else { 1_000 };
    let asked = object.get(*field).and_then(Value::as_u64).unwrap_or(most.into()).min(most.into());
    object.insert((*field).to_owned(), json!(asked / 2));
    asked > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_bounded_and_large_answers_are_asked_for_in_pieces() {
        let mut params = json!({ "session": "x", "wait_ms": 25_000 });
        wait_less(SessionOutput::NAME, &mut params);
        assert_eq!(params["wait_ms"], MAX_WAIT_MS);
        let mut params = json!({ "session": "x", "timeout_ms": null });
        wait_less(SessionWait::NAME, &mut params);
        assert_eq!(params["timeout_ms"], MAX_WAIT_MS);
        let mut params = json!({ "session": "x", "wait_ms": "long" });
        wait_less(SessionOutput::NAME, &mut params);
        assert_eq!(params["wait_ms"], "long");

        let mut params = json!({ "session": "x" });
        let mut halvings = 0;
        while ask_for_less(SessionEvents::NAME, &mut params) {
            halvings += 1;
        }
        assert_eq!(halvings, 9, "1,000 to 1");
        assert!(!ask_for_less("session.list", &mut json!({})));
    }
}
