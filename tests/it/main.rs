//! delight's integration tests: everything runs as people run it, in processes of their own.
//!
//! Each test says in one line which complaint it guards against; names in brackets are the projects where it hurt.

// A test fails by panicking and reports by printing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod adopt;
mod agents;
mod agents_crash;
mod agents_hostile;
mod agents_switch;
mod architecture;
mod attach;
mod chaos;
mod cli;
mod control;
mod crowd;
mod disk;
mod driving;
mod file_editor;
mod garbage;
#[path = "../../relay/tests/it/happy_package.rs"]
mod happy_package;
mod happy_phone;
mod history;
mod lifecycle;
mod locks;
mod notify;
mod pairing;
mod parsers;
mod policy;
mod real_agents;
mod remote;
mod remote_afar;
mod remote_faults;
mod remote_quickly;
mod remote_terminal;
mod replay;
mod schema;
mod secrets;
mod service_manager;
mod spare;
mod transcript;
mod trees;
mod units;
mod uplink;
