//! The legacy `message` event: one cipher in many spellings.
//!
//! Under `message`, else under `content`, the cipher is a plain text, `{c}`, `{t, c}`, `{content: "…"}`,
//! `{content: {c}}`, or all that again under a nested `message`. The fields around it may stand at any of those levels;
//! the innermost wins, being the one closest to the stored row.

use serde_json::Value;

use super::bounded::{Id, SealedText};
use super::bounds;
use super::message::{Content, Incoming, NewMessage};
use crate::refusal::{Code, Refusal};

/// Reads the event's argument.
///
/// # Errors
/// [`Code::BadParams`] when there is no cipher in any known place.
pub fn read(event: &Value) -> Result<NewMessage, Refusal> {
    let content = cipher(event).map(Content).ok_or_else(|| {
        Refusal::new(Code::BadParams, "a legacy message event", "no sealed content in any known place")
    })?;
    let message = Incoming {
        id: innermost(event, &["id"], id),
        seq: innermost(event, &["seq"], Value::as_u64),
        local_id: innermost(event, &["localId"], id),
        content,
        created_at: innermost(event, &["createdAt"], Value::as_u64),
        updated_at: innermost(event, &["updatedAt"], Value::as_u64),
    };
    Ok(NewMessage { sid: innermost(event, &["sid", "sessionId"], id), message })
}

/// The cipher in a value, in whatever spelling.
pub(crate) fn cipher(value: &Value) -> Option<SealedText> {
    cipher_within(value, bounds::LEGACY_DEPTH)
}

fn cipher_within(value: &Value, depth: usize) -> Option<SealedText> {
    match value {
        Value::String(text) => SealedText::new(text.as_str()).ok(),
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get("c") {
                return SealedText::new(text.as_str()).ok();
            }
            let depth = depth.checked_sub(1)?;
            ["message", "content"].iter().find_map(|key| cipher_within(object.get(*key)?, depth))
        }
        _ => None,
    }
}

/// A field at the deepest of the levels the cipher was looked for in.
fn innermost<T>(value: &Value, keys: &[&str], read: fn(&Value) -> Option<T>) -> Option<T> {
    let mut found = None;
    let mut level = Some(value);
    for _ in 0..=bounds::LEGACY_DEPTH {
        let Some(Value::Object(object)) = level else { break };
        if let Some(here) = keys.iter().find_map(|key| read(object.get(*key)?)) {
            found = Some(here);
        }
        level = object.get("message").filter(|inner| inner.is_object()).or_else(|| object.get("content"));
    }
    found
}

fn id(value: &Value) -> Option<Id> {
    Id::new(value.as_str()?).ok()
}
