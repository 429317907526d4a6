//! The relay from outside: over HTTP, over its sockets, and as a program.

// Helpers of tests fail as tests do; the lint's own exception knows only the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auth;
mod binary;
mod calls;
mod captures;
mod events;
mod happy_cli;
mod happy_package;
mod isolation;
mod limits;
mod objects;
mod presence;
mod restart;
mod rig;
mod shapes;
