//! JSON-RPC 2.0 messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::refusal::{Code, Refusal};

/// Always `"2.0"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version;

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("2.0")
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match &*std::borrow::Cow::<'de, str>::deserialize(d)? {
            "2.0" => Ok(Self),
            other => Err(serde::de::Error::custom(format!("jsonrpc must be \"2.0\", got {other:?}"))),
        }
    }
}

/// A request's number, chosen by the client.
pub type RequestNumber = u64;

/// A request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// `"2.0"`.
    pub jsonrpc: Version,
    /// Number for the answer.
    pub id: RequestNumber,
    /// Method name.
    pub method: String,
    /// Parameters, as an object; read when the method is known.
    #[serde(default)]
    pub params: Option<Box<RawValue>>,
}

/// An answer: exactly one of `result` and `error`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Response {
    /// `"2.0"`.
    pub jsonrpc: Version,
    /// Number of the request; `null` when it could not be read.
    pub id: Option<RequestNumber>,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// The refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

/// A JSON-RPC error object whose `data` is our [`Refusal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// [`Code::number`].
    pub code: i64,
    /// The refusal in one line.
    pub message: String,
    /// The refusal itself.
    pub data: Refusal,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.number(), message: refusal.to_string(), data: refusal }
    }
}

/// A message from the daemon that answers nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Notification<T = Value> {
    /// `"2.0"`.
    pub jsonrpc: Version,
    /// Name.
    pub method: String,
    /// Content.
    pub params: T,
}

impl Response {
    /// An answer with a result.
    #[must_use]
    pub fn ok<T: Serialize>(id: RequestNumber, result: &T) -> Self {
        match serde_json::value::to_raw_value(result) {
            Ok(raw) => Self { jsonrpc: Version, id: Some(id), result: Some(raw), error: None },
            Err(e) => Self::refused(
                Some(id),
                Refusal::new(Code::Internal, "the answer could not be written", e.to_string()),
            ),
        }
    }

    /// A refusal.
    #[must_use]
    pub fn refused(id: Option<RequestNumber>, refusal: Refusal) -> Self {
        Self { jsonrpc: Version, id, result: None, error: Some(refusal.into()) }
    }
}
