//! Parameters of a call, and what an honest reader must check before it believes them.
//!
//! The name by which a call is routed travels in clear; nothing in a sealed value says what it was sealed for. So a server
//! can take any value sealed with the key (a record, a state, an answer of ours) and deliver it as parameters. Three
//! defences, of which this module is two:
//! - [`Params::open`] refuses what is recognisably not a request: no object, or an object that answers, records or states
//!   something.
//! - Our own clients bind a request: its plaintext is `{rpcBinding: 1, method, scope, issuedAt, nonce, params}`. It is run
//!   only for that method and scope and while it is new; the answer `{rpcBinding: 1, nonce, result}` repeats the nonce, so
//!   that no other answer can be given for it.
//! - Nothing is run twice: the replay guard of `delight-crypto`, which [`Params::issued_at`] lets forget safely.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Address;
use crate::refusal::{Code, Refusal};
use crate::sync::bounded::Text;
use crate::sync::{Object, bounds, read};

/// How far the time inside a bound request may be from our clock, either way, in milliseconds: five minutes.
pub const CLOCK_WINDOW_MS: u64 = 5 * 60_000;

const BINDING: u64 = 1;

/// Fields of answers, records and states that no request has. One of them at the top of an unbound request means that a
/// value sealed for something else was delivered as one.
const NOT_OF_REQUESTS: &[&str] = &[
    "success",
    "error",
    "errorMessage",
    "role",
    "controlledByUser",
    "completedRequests",
    "lifecycleState",
    "happyCliVersion",
    "hostPid",
    "httpPort",
    "shutdownRequestedAt",
];

/// Kinds of answers: the `type` of an unbound request is never one of these.
const ANSWER_KINDS: &[&str] = &["success", "error", "pending", "requestToApproveDirectoryCreation"];

/// For methods without parameters: whatever fields are there are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NoParams {}

/// The parameters of a call, checked as far as this crate can.
#[derive(Clone, PartialEq)]
pub struct Params {
    object: Object,
    issued_at: Option<u64>,
    nonce: Option<Text<64>>,
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Params({} fields)", self.object.len())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bound {
    rpc_binding: u64,
    method: String,
    scope: String,
    issued_at: u64,
    nonce: Text<64>,
    #[serde(default)]
    params: Option<Object>,
}

impl Params {
    /// Reads the plaintext of a call that was routed to `address`.
    ///
    /// # Errors
    /// - [`Code::TooLarge`], [`Code::BadRequest`]: no JSON of bearable size;
    /// - [`Code::BadParams`]: not an object, or a binding of a shape or version nobody knows;
    /// - [`Code::Forbidden`]: bound to another method or scope, or recognisably not a request.
    pub fn open(plaintext: &[u8], address: &Address) -> Result<Self, Refusal> {
        let value: Value = read::bytes("the parameters of a call", plaintext, bounds::CALL_TEXT)?;
        let Value::Object(object) = value else {
            return Err(Refusal::new(Code::BadParams, "the parameters of a call", "they are not an object"));
        };
        if object.contains_key("rpcBinding") { Self::bound(object, address) } else { Self::unbound(object) }
    }

    /// Plain JSON parameters, of a caller that seals nothing: anybody between it and us could have written them. Whether
    /// they are taken at all is the owner's policy.
    #[must_use]
    pub fn looks_plain(params: &str) -> bool {
        params.trim_start().starts_with('{')
    }

    fn unbound(object: Object) -> Result<Self, Refusal> {
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
        if ANSWER_KINDS.contains(&kind) || NOT_OF_REQUESTS.iter().any(|field| object.contains_key(*field)) {
            let reason = "the sealed value is not a request: it was sealed as something else";
            return Err(Refusal::new(Code::Forbidden, "the parameters of a call", reason));
        }
        Ok(Self { object, issued_at: None, nonce: None })
    }

    fn bound(object: Object, address: &Address) -> Result<Self, Refusal> {
        let what = "a bound call";
        let bound: Bound = read::value(what, &Value::Object(object))?;
        if bound.rpc_binding != BINDING {
            return Err(Refusal::new(Code::BadParams, what, "its binding is of a version nobody here knows"));
        }
        if bound.method != address.method.as_str() || bound.scope != address.id.as_str() {
            return Err(Refusal::new(
                Code::Forbidden,
                what,
                "it was sealed for another method, machine or session",
            ));
        }
        Ok(Self {
            object: bound.params.unwrap_or_default(),
            issued_at: Some(bound.issued_at),
            nonce: Some(bound.nonce),
        })
    }

    /// When the caller sealed it, by its clock, in Unix milliseconds. Only bound requests say.
    #[must_use]
    pub fn issued_at(&self) -> Option<u64> {
        self.issued_at
    }

    /// What the answer must repeat. Only bound requests have one.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// Refuses a bound request that is not of now. An unbound one passes: it does not say when it was sealed.
    ///
    /// # Errors
    /// [`Code::Forbidden`], with the way out: the clocks differ or the server held it back.
    pub fn check_time(&self, now_ms: u64) -> Result<(), Refusal> {
        match self.issued_at {
            Some(at) if at.abs_diff(now_ms) > CLOCK_WINDOW_MS => {
                let reason =
                    format!("it was sealed {} s away from this machine's clock", at.abs_diff(now_ms) / 1_000);
                Err(Refusal::new(Code::Forbidden, "a bound call", reason)
                    .fix("compare the clocks of both sides"))
            }
            _ => Ok(()),
        }
    }

    /// The parameters as one method's.
    ///
    /// # Errors
    /// [`Code::BadParams`].
    pub fn shape<T: DeserializeOwned>(&self, method: &str) -> Result<T, Refusal> {
        T::deserialize(&self.object)
            .map_err(|error| read::refuse(&format!("the parameters of {method}"), &error))
    }
}

/// The plaintext of a bound request. `nonce` is 16 random bytes in base64, fresh for each call.
#[must_use]
pub fn bind_request(address: &Address, params: &Value, issued_at_ms: u64, nonce: &str) -> Value {
    json!({
        "rpcBinding": BINDING,
        "method": address.method,
        "scope": address.id,
        "issuedAt": issued_at_ms,
        "nonce": nonce,
        "params": params,
    })
}

/// The plaintext of an answer to `params`: bound when the request was.
#[must_use]
pub fn bind_answer(params: &Params, result: Value) -> Value {
    match params.nonce() {
        Some(nonce) => json!({ "rpcBinding": BINDING, "nonce": nonce, "result": result }),
        None => result,
    }
}

/// What a bound request with this nonce was answered.
///
/// # Errors
/// [`Code::Forbidden`] when the answer belongs to another request, or to none.
pub fn read_bound_answer(answer: &Value, nonce: &str) -> Result<Value, Refusal> {
    let version = answer.get("rpcBinding").and_then(Value::as_u64);
    if version == Some(BINDING) && answer.get("nonce").and_then(Value::as_str) == Some(nonce) {
        return Ok(answer.get("result").cloned().unwrap_or(Value::Null));
    }
    Err(Refusal::new(Code::Forbidden, "the answer to a call", "it is not the answer to this call"))
}
