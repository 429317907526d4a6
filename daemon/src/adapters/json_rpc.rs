//! JSON-RPC lines, as Codex's app server and agents of the Agent Client Protocol speak them. Ids of requests of ours are
//! words that say what they are for, so that an answer needs no table: `prompt m1` answers the message `m1`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The id of a request of the agent's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Failure {
    /// Its number.
    #[serde(default)]
    pub(super) code: i64,
    /// Its words.
    #[serde(default)]
    pub(super) message: String,
}

/// A line.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A request to us.
    Request {
        /// For the answer.
        id: Id,
        /// What.
        method: String,
        /// With what.
        params: Value,
    },
    /// Something to know.
    Notification {
        /// What.
        method: String,
        /// With what.
        params: Value,
    },
    /// The answer to a request of ours.
    Response {
        /// Its id.
        id: String,
        /// What came of it.
        result: Result<Value, Failure>,
    },
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Option<Id>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Option<Failure>,
}

/// Reads a line.
///
/// # Errors
/// It is not JSON, or not of this shape.
pub(super) fn read(line: &[u8]) -> Result<Incoming, &'static str> {
    let Line { id, method, params, result, error } =
        serde_json::from_slice(line).map_err(|e| super::shown::not_understood(&e))?;
    match (id, method) {
        (Some(id), Some(method)) => Ok(Incoming::Request { id, method, params }),
        (None, Some(method)) => Ok(Incoming::Notification { method, params }),
        (Some(Id::Text(id)), None) => Ok(Incoming::Response { id, result: error.map_or(Ok(result), Err) }),
        (Some(Id::Number(_)), None) => Err("an answer to a request that was never made"),
        (None, None) => Err("JSON of an unknown shape"),
    }
}

/// A request, with the member every real JSON-RPC line has; Codex ignores it.
pub(super) fn request(id: &str, method: &str, params: &Value) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

/// A notification.
pub(super) fn notification(method: &str, params: &Value) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// The answer to a request of the agent's.
pub(super) fn response(id: &Id, result: &Value) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

/// "Method not found": the answer to a request that is not ours to serve. Without one the agent would wait for ever.
pub(super) fn not_served(id: &Id, method: &str) -> Vec<u8> {
    let message = format!("delight does not serve {method}");
    line(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": message}}))
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

/// The name of a request as a permission's id: the request's own id, and what makes it unique beyond this process, whose
/// numbers begin at 0 again. None: it cannot be said in printable characters.
pub(super) fn permission_id(id: &Id, about: &str) -> Option<String> {
    let name = format!("{}@{about}", serde_json::to_string(id).ok()?);
    (name.len() <= 256 && name.bytes().all(|b| b.is_ascii_graphic())).then_some(name)
}

/// The request's own id in a permission's.
pub(super) fn request_id(permission: &str) -> Option<Id> {
    serde_json::from_str(permission.rsplit_once('@')?.0).ok()
}

/// What is looked at of a line of ours: the id of a request, and the id of the request it answers.
pub(super) struct Written {
    /// Of a request of ours.
    pub(super) request: Option<String>,
    /// Of the agent's request it answers.
    pub(super) answered: Option<Id>,
}

/// Reads a line of ours.
pub(super) fn written(line: &[u8]) -> Option<Written> {
    let Line { id, method, .. } = serde_json::from_slice(line).ok()?;
    Some(match (id, method) {
        (Some(Id::Text(id)), Some(_)) => Written { request: Some(id), answered: None },
        (Some(id), None) => Written { request: None, answered: Some(id) },
        _ => Written { request: None, answered: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_their_members() {
        let kind = |line: &str| match read(line.as_bytes()) {
            Ok(Incoming::Request { .. }) => "request",
            Ok(Incoming::Notification { .. }) => "notification",
            Ok(Incoming::Response { result: Ok(_), .. }) => "result",
            Ok(Incoming::Response { result: Err(_), .. }) => "error",
            Err(what) => what,
        };
        assert_eq!(kind(r#"{"id":0,"method":"a"}"#), "request");
        assert_eq!(kind(r#"{"method":"a","emittedAtMs":1}"#), "notification");
        assert_eq!(kind(r#"{"id":"new","result":null}"#), "result");
        assert_eq!(kind(r#"{"id":"new","error":{"code":-1,"message":"m"}}"#), "error");
        assert_eq!(kind(r#"{"id":7,"result":1}"#), "an answer to a request that was never made");
        assert_eq!(kind("{}"), "JSON of an unknown shape");
        assert_eq!(kind("hello"), "not JSON");
    }

    #[test]
    fn a_permission_leads_back_to_its_request() {
        for id in [Id::Number(0), Id::Number(-3), Id::Text("a@b".into())] {
            let name = permission_id(&id, "turn-1").unwrap();
            assert_eq!(request_id(&name), Some(id));
        }
        assert_eq!(permission_id(&Id::Text("a b".into()), "t"), None);
        assert_eq!(permission_id(&Id::Number(1), &"x".repeat(256)), None);
        assert_eq!(request_id("nothing"), None);
    }
}
