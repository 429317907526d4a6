//! Every shape that crosses a process boundary of delight.
//!
//! This crate is data: it opens nothing, waits for nothing and knows nobody. Each module is one boundary:
//!
//! - [`id`], [`session`], [`event`]: the nouns all boundaries share;
//! - [`agent`]: what agents do and are told, in one language; [`policy`]: what they may do unasked;
//! - [`holder`]: frames between a holder and its clients (daemon, `delightctl attach`);
//! - [`api`]: the control API between `delightctl` and the daemon (JSON-RPC 2.0, one message a line);
//! - [`place`]: which directories and sockets both sides mean;
//! - [`sync`]: the wire between daemon, phone and sync server;
//! - [`refusal`]: the one shape every "no" has, with its codes and exit statuses.

pub mod agent;
pub mod api;
pub mod event;
pub mod holder;
pub mod id;
pub mod place;
pub mod policy;
pub mod refusal;
pub mod session;
pub mod sync;
