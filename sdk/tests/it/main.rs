//! The phone against the real relay, with the daemon's side played by delight's own Socket.IO client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is a test"
)]

mod accounts;
mod calls;
mod crowd;
mod cuts;
mod desk;
mod endings;
mod machines;
mod messages;
mod pairing;
mod rig;
