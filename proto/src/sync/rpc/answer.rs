//! How calls are answered.
//!
//! `ok` of the acknowledgement is the server's; what the method says travels inside. A failure has three spellings, by
//! method: `{error}`, `{success: false, error}`, and `{type: "error", errorMessage}`. All are read as [`Failed`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::sync::bounded::Line;
use crate::sync::read;

/// What a method could not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(
    /// Why, in the provider's words.
    pub Line,
);

/// `{success, message}` or just `{message}`: done, and words about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Whether it was done; absent means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// For people.
    pub message: Line,
}

/// Reads an answer: what the method did, or why it did not.
///
/// # Errors
/// [`crate::refusal::Code::BadParams`] when it is neither.
pub fn read<T: DeserializeOwned>(what: &str, answer: &Value) -> Result<Result<T, Failed>, Refusal> {
    match failure(answer) {
        Some(failed) => Ok(Err(failed)),
        None => read::value(what, answer).map(Ok),
    }
}

/// The failure an answer tells of, in whichever spelling.
#[must_use]
pub fn failure(answer: &Value) -> Option<Failed> {
    let text = |field: &str| answer.get(field).and_then(Value::as_str);
    let succeeded = answer.get("success").and_then(Value::as_bool);
    let words = match (succeeded, text("type")) {
        (Some(true), _) => return None,
        (_, Some("error")) => text("errorMessage").or(text("error")).unwrap_or("no reason was given"),
        (Some(false), _) => text("error").or(text("message")).unwrap_or("no reason was given"),
        (None, _) => text("error")?,
    };
    Some(Failed(Line::cut(words)))
}

/// The answer of a file method that did its work: its result with `success: true`.
///
/// # Errors
/// Only if the result could not be JSON, which none of ours is.
pub fn succeeded<T: Serialize>(result: &T) -> Result<Value, Refusal> {
    let mut value =
        serde_json::to_value(result).map_err(|error| read::refuse("an answer of ours", &error))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("success".into(), Value::Bool(true));
    }
    Ok(value)
}

/// The answer of a file method that failed.
#[must_use]
pub fn failed(reason: &str) -> Value {
    json!({ "success": false, "error": Line::cut(reason) })
}

/// The answer of any other method that failed.
#[must_use]
pub fn error(reason: &str) -> Value {
    json!({ "error": Line::cut(reason) })
}
