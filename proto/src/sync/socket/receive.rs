//! Events from server to client.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::emit::RpcMethod;
use crate::refusal::Refusal;
use crate::sync::bounded::{Hidden, Line, Name};
use crate::sync::ephemeral::Ephemeral;
use crate::sync::message::NewMessage;
use crate::sync::rpc::RpcCall;
use crate::sync::update::{Update, UpdateBody};
use crate::sync::{legacy, read};

/// An event a server emits.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// Something stored changed.
    Update(Box<Update>),
    /// A message by the legacy event. The same value as inside [`UpdateBody::NewMessage`]: use
    /// [`ServerEvent::new_message`] to have both at once.
    Message(NewMessage),
    /// Presence and hints.
    Ephemeral(Ephemeral),
    /// A call to one of our methods; to be acknowledged with one text.
    RpcRequest(RpcRequest),
    /// A method is offered now.
    RpcRegistered(RpcMethod),
    /// A method is no longer offered.
    RpcUnregistered(RpcMethod),
    /// A method was not offered.
    RpcError(ErrorEvent),
    /// The connection is refused. Before a disconnect it means: log in again, then connect again.
    Error(ErrorEvent),
    /// An event nobody here knows.
    Unknown {
        /// Its name.
        name: String,
        /// Its arguments.
        args: Hidden<Vec<Value>>,
    },
}

/// See [`ServerEvent::RpcRequest`]: what the caller sent, handed on.
pub type RpcRequest = RpcCall;

/// See [`ServerEvent::Error`] and [`ServerEvent::RpcError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEvent {
    /// What was tried, where it says.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub about: Option<Name>,
    /// Why, in `error` events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Line>,
    /// Why, in `rpc-error` events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Line>,
}

impl ServerEvent {
    /// The events known here.
    pub const NAMES: &'static [&'static str] = &[
        "update",
        "message",
        "ephemeral",
        "rpc-request",
        "rpc-registered",
        "rpc-unregistered",
        "rpc-error",
        "error",
    ];

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Update(_) => "update",
            Self::Message(_) => "message",
            Self::Ephemeral(_) => "ephemeral",
            Self::RpcRequest(_) => "rpc-request",
            Self::RpcRegistered(_) => "rpc-registered",
            Self::RpcUnregistered(_) => "rpc-unregistered",
            Self::RpcError(_) => "rpc-error",
            Self::Error(_) => "error",
            Self::Unknown { name, .. } => name,
        }
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`crate::refusal::Code::BadParams`] when a known event has another shape.
    pub fn read(name: &str, args: &[Value]) -> Result<Self, Refusal> {
        let first = args.first().unwrap_or(&Value::Null);
        Ok(match name {
            "update" => Self::Update(Box::new(read::value("an update", first)?)),
            "message" => Self::Message(legacy::read(first)?),
            "ephemeral" => Self::Ephemeral(read::value("an ephemeral event", first)?),
            "rpc-request" => Self::RpcRequest(read::value("a call", first)?),
            "rpc-registered" => Self::RpcRegistered(read::value("rpc-registered", first)?),
            "rpc-unregistered" => Self::RpcUnregistered(read::value("rpc-unregistered", first)?),
            "rpc-error" => Self::RpcError(read::value("rpc-error", first)?),
            "error" => Self::Error(read::value("an error event", first)?),
            _ => Self::Unknown { name: name.to_owned(), args: Hidden::new(args.to_vec()) },
        })
    }

    /// The event's arguments, as a server writes them.
    ///
    /// # Errors
    /// Only if a shape here could not be JSON, which none is.
    pub fn args(&self) -> Result<Vec<Value>, Refusal> {
        let arg = match self {
            Self::Update(update) => serde_json::to_value(update),
            Self::Message(message) => Ok(json!({
                "sid": message.sid,
                "message": message.message.content,
                "localId": message.message.local_id,
                "id": message.message.id,
                "seq": message.message.seq,
                "createdAt": message.message.created_at,
                "updatedAt": message.message.updated_at,
            })),
            Self::Ephemeral(event) => serde_json::to_value(event),
            Self::RpcRequest(call) => serde_json::to_value(call),
            Self::RpcRegistered(method) | Self::RpcUnregistered(method) => serde_json::to_value(method),
            Self::RpcError(error) | Self::Error(error) => serde_json::to_value(error),
            Self::Unknown { args, .. } => return Ok(args.expose().clone()),
        };
        arg.map(|arg| vec![arg]).map_err(|error| read::refuse("an event of ours", &error))
    }

    /// The new message this event tells of, whichever of the two ways it came.
    #[must_use]
    pub fn new_message(&self) -> Option<&NewMessage> {
        match self {
            Self::Message(message) => Some(message),
            Self::Update(update) => match &update.body {
                UpdateBody::NewMessage(message) => Some(message),
                _ => None,
            },
            _ => None,
        }
    }
}
