//! `delightctl` driven from outside, against a daemon and a holder that follow a script.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of it is test code; only functions marked #[test] are known as such"
)]

mod attach;
mod commands;
mod logs;
mod scripted;
mod terminal;
