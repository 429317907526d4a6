//! The JSON Schema of the whole API, generated from the types.

use serde_json::{Map, Value, json};

use super::method;

/// One document: every method with the schemas of its parameters and its result, the notification, the error data.
#[must_use]
pub fn document() -> Value {
    let mut methods = Map::new();
    method::each(|name, doc, params, result| {
        methods.insert(name.to_owned(), json!({ "description": doc, "params": params, "result": result }));
    });
    json!({
        "title": "delight control API",
        "protocol": super::PROTOCOL,
        "transport": "JSON-RPC 2.0, one message a line, over a Unix socket",
        "maxLineBytes": super::MAX_LINE,
        "methods": methods,
        "notifications": { method::CHANGE: schemars::schema_for!(method::Change) },
        "errorData": schemars::schema_for!(crate::refusal::Refusal),
    })
}
