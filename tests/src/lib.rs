//! The harness of delight's cross-process tests and benches.
//!
//! Everything here drives the real programs from outside, the way people and scripts do: it knows the wire shapes of
//! `delight-proto`, is a phone by the SDK, and knows nothing else of the project. A [`Sandbox`] is one private world (own state, runtime and config
//! directories) that ends everything it started, by process id, and fails the test when something is left.
//!
//! Nothing here waits by time: [`until`] polls a condition up to a deadline.

// A harness fails the test it serves; that is its way to report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod agent;
pub mod api;
pub mod attached;
pub mod binaries;
pub mod client;
pub mod daemon;
pub mod fake_model;
pub mod kernel;
pub mod link;
pub mod proxy;
pub mod sandbox;
pub mod terminal;
mod until;

pub use sandbox::Sandbox;
pub use until::{LONG, until, until_some};
