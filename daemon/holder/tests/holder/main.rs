//! The holder as a process, driven through its frames as a daemon and its clients drive it.

#![allow(clippy::unwrap_used, clippy::panic)] // Functions the tests share are tests, too.

mod clients;
mod life;
mod prepared;
mod rig;
mod terminal;
mod tree;
mod trouble;
