//! Events from client to server.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::refusal::Refusal;
use crate::sync::bounded::{Hidden, Id, Name, SealedText, Text};
use crate::sync::ephemeral::Counters;
use crate::sync::message::Content;
use crate::sync::rpc::RpcCall;
use crate::sync::{bounds, read};

macro_rules! client_events {
    ($($(#[$doc:meta])* $variant:ident($shape:ty) = $name:literal $(ack $ack:literal)?,)*) => {
        /// An event a client emits.
        #[derive(Debug, Clone, PartialEq)]
        pub enum ClientEvent {
            $($(#[$doc])* $variant($shape),)*
            /// Asks for an acknowledgement and nothing else: a barrier behind everything emitted before. The
            /// acknowledgement must be the only argument.
            Ping,
            /// An event nobody here knows.
            Unknown {
                /// Its name.
                name: String,
                /// Its arguments.
                args: Hidden<Vec<Value>>,
            },
        }

        impl ClientEvent {
            /// The events known here.
            pub const NAMES: &'static [&'static str] = &[$($name,)* "ping"];

            /// The event's name.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $name,)*
                    Self::Ping => "ping",
                    Self::Unknown { name, .. } => name,
                }
            }

            /// Whether the server acknowledges it.
            #[must_use]
            pub fn is_acknowledged(&self) -> bool {
                match self {
                    $($(Self::$variant(_) => $ack,)?)*
                    Self::Ping => true,
                    _ => false,
                }
            }

            /// The event's arguments.
            ///
            /// # Errors
            /// Only if a shape here could not be JSON, which none is.
            pub fn args(&self) -> Result<Vec<Value>, Refusal> {
                let arg = match self {
                    $(Self::$variant(shape) => serde_json::to_value(shape),)*
                    Self::Ping => return Ok(Vec::new()),
                    Self::Unknown { args, .. } => return Ok(args.expose().clone()),
                };
                arg.map(|arg| vec![arg]).map_err(|error| read::refuse("an event of ours", &error))
            }

            /// Reads an event.
            ///
            /// # Errors
            /// [`crate::refusal::Code::BadParams`] when a known event has another shape.
            pub fn read(name: &str, args: &[Value]) -> Result<Self, Refusal> {
                let first = args.first().unwrap_or(&Value::Null);
                match name {
                    $($name => read::value(concat!("the event ", $name), first).map(Self::$variant),)*
                    "ping" => Ok(Self::Ping),
                    _ => Ok(Self::Unknown { name: name.to_owned(), args: Hidden::new(args.to_vec()) }),
                }
            }
        }
    };
}

client_events! {
    /// Writes a message. Not acknowledged and refused silently: prefer [`crate::sync::http::PostMessages`].
    Message(MessageEvent) = "message",
    /// A session is alive.
    SessionAlive(SessionAlive) = "session-alive",
    /// A session has ended.
    SessionEnd(SessionEnd) = "session-end",
    /// A machine is connected.
    MachineAlive(MachineAlive) = "machine-alive",
    /// A session's new metadata.
    UpdateMetadata(SessionMetadataUpdate) = "update-metadata" ack true,
    /// A session's new agent state.
    UpdateState(SessionStateUpdate) = "update-state" ack true,
    /// A machine's new metadata.
    MachineUpdateMetadata(MachineMetadataUpdate) = "machine-update-metadata" ack true,
    /// A machine's new daemon state.
    MachineUpdateState(MachineStateUpdate) = "machine-update-state" ack true,
    /// Tokens and cost of a turn.
    UsageReport(UsageReport) = "usage-report",
    /// Offers a method. Answered by an event, not by an acknowledgement; due again at every connect.
    RpcRegister(RpcMethod) = "rpc-register",
    /// Withdraws a method.
    RpcUnregister(RpcMethod) = "rpc-unregister",
    /// Calls a method somebody offers.
    RpcCall(RpcCall) = "rpc-call" ack true,
}

/// See [`ClientEvent::Message`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageEvent {
    /// The session.
    pub sid: Id,
    /// The sealed content.
    #[serde(deserialize_with = "any_content")]
    pub message: SealedText,
    /// The sender's id for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_id: Option<Id>,
}

/// A client may also send the stored spelling `{t, c}`.
fn any_content<'de, D: serde::Deserializer<'de>>(d: D) -> Result<SealedText, D::Error> {
    Content::deserialize(d).map(|content| content.0)
}

/// See [`ClientEvent::SessionAlive`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionAlive {
    /// The session.
    pub sid: Id,
    /// The sender's clock, Unix milliseconds. Servers ignore what is ten minutes old.
    pub time: u64,
    /// Whether a turn runs.
    #[serde(default, alias = "working")]
    pub thinking: bool,
    /// `local` or `remote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Name>,
}

/// See [`ClientEvent::SessionEnd`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// The session.
    pub sid: Id,
    /// The sender's clock, Unix milliseconds.
    pub time: u64,
}

/// See [`ClientEvent::MachineAlive`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineAlive {
    /// The machine.
    pub machine_id: Id,
    /// The sender's clock, Unix milliseconds.
    pub time: u64,
}

/// See [`ClientEvent::UpdateMetadata`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionMetadataUpdate {
    /// The session.
    pub sid: Id,
    /// The new value, sealed.
    pub metadata: SealedText,
    /// The version it replaces.
    #[serde(default)]
    pub expected_version: u64,
}

/// See [`ClientEvent::UpdateState`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionStateUpdate {
    /// The session.
    pub sid: Id,
    /// The new value, sealed; none clears it.
    #[serde(default)]
    pub agent_state: Option<SealedText>,
    /// The version it replaces.
    #[serde(default)]
    pub expected_version: u64,
}

/// See [`ClientEvent::MachineUpdateMetadata`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineMetadataUpdate {
    /// The machine.
    pub machine_id: Id,
    /// The new value, sealed.
    pub metadata: SealedText,
    /// The version it replaces.
    #[serde(default)]
    pub expected_version: u64,
}

/// See [`ClientEvent::MachineUpdateState`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineStateUpdate {
    /// The machine.
    pub machine_id: Id,
    /// The new value, sealed.
    pub daemon_state: SealedText,
    /// The version it replaces.
    #[serde(default)]
    pub expected_version: u64,
}

/// See [`ClientEvent::UsageReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageReport {
    /// What is counted.
    pub key: Name,
    /// The session.
    pub session_id: Id,
    /// Tokens; `total` must be there.
    pub tokens: Counters,
    /// Cost, dollars; `total` must be there.
    pub cost: Counters,
}

/// A method by its full name, `<id>:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcMethod {
    /// The name.
    pub method: Text<{ bounds::METHOD }>,
}
