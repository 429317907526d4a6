//! Every decision of the daemon, as pure functions from state and input to state and effects.
//!
//! This crate reads no clock, environment or file, holds no channel or lock, logs nothing, and names no session kind
//! (it branches on [`session::Capabilities`]). Time and fresh ids come in with the input; what is to be done goes out
//! as effects, which the shell around it (`daemon/src`) carries out. `clippy.toml` enforces it.
//!
//! - [`actor`]: what a reducer is;
//! - [`session`]: one session, from spawn to removal;
//! - [`supervisor`]: which sessions there are, and who may make another;
//! - [`policy`]: what an agent may do without asking a person;
//! - [`uplink`]: the link to the sync server;
//! - [`replay`]: folding recorded inputs again;
//! - [`why`]: which events led to the present state.

pub mod actor;
pub mod policy;
pub mod replay;
pub mod session;
pub mod supervisor;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod uplink;
pub mod view;
pub mod why;
