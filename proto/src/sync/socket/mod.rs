//! The socket: handshake, events and acknowledgements, both ways. How packets are framed is the transport's business.

mod ack;
mod emit;
mod handshake;
mod receive;

pub use self::ack::{Kept, RpcAck, VersionedAck};
pub use self::emit::{
    ClientEvent, MachineAlive, MachineMetadataUpdate, MachineStateUpdate, MessageEvent, RpcMethod,
    SessionAlive, SessionEnd, SessionMetadataUpdate, SessionStateUpdate, UsageReport,
};
pub use self::handshake::{AppState, ConnectAuth, Connected, PATH, Scope, TransportOpen};
pub use self::receive::{ErrorEvent, RpcRequest, ServerEvent};
