//! The daemon's way to the sync server: HTTP ([`http`]) and Socket.IO ([`socketio`]) under one rule for TLS, proxies
//! and certificates ([`server::Server`]).
//!
//! This crate carries opaque JSON and bytes. It must never know what a session, a machine or a key is, and it never
//! prints a token, an auth object or a payload.

pub mod dial;
pub mod endpoint;
pub mod http;
pub mod network_change;
pub mod proxy;
pub mod reconnect;
pub mod secret;
pub mod server;
pub mod socketio;
pub mod tls;

mod tcp;

// The WebSocket library writes every frame to the `log` crate at level trace, the auth object among them. That level
// must not exist in this program, whatever a subscriber is set to.
const _: () = assert!(log::STATIC_MAX_LEVEL as usize <= log::LevelFilter::Debug as usize);
