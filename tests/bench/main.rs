//! `delight-bench`: every row of "How fast" as a ratio to the peers on this machine, all measured in one run.
//!
//! ```text
//! cargo run --release -p delight-tests --bin delight-bench            every row
//! cargo run --release -p delight-tests --bin delight-bench -- echo    the rows of that name
//! cargo run --release -p delight-tests --bin delight-bench -- link    all rows of the link to the server
//! ```
//!
//! Absolute numbers belong to the machine; ratios are what is promised. It stops by itself and leaves nothing behind.

// A bench fails by panicking and reports by printing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod agent;
mod crowd;
mod echo;
mod history;
mod link;
mod peer;
mod report;
mod screen;
mod spawn;
mod throughput;

use report::Row;

/// The name of a group of rows, and how it is measured.
type Group = (&'static str, fn() -> Vec<Row>);

const GROUPS: &[Group] = &[
    ("spawn", spawn::rows),
    ("cold", spawn::cold_rows),
    ("crowd", crowd::rows),
    ("attach", history::rows),
    ("cat", throughput::cat_rows),
    ("yes", throughput::yes_rows),
    ("echo", echo::rows),
    ("agent-message", agent::message_rows),
    ("agent-permission", agent::permission_rows),
    ("agent-memory", agent::memory_rows),
    ("link-online", link::online::rows),
    ("link-spawn", link::spawn::rows),
    ("link-reconnect", link::reconnect::rows),
    ("link-idle", link::idle::rows),
    ("link-messages", link::messages::rows),
    ("link-relay", link::relay::rows),
];

/// Whether a name on the command line means this group: its own name, or that of the groups it belongs to.
fn is_meant(group: &str, name: &str) -> bool {
    group == name || group.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| GROUPS.iter().all(|(group, _)| !is_meant(group, name))) {
        let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
        eprintln!("delight-bench: there is no group {unknown:?}; there are: {}", names.join(" "));
        std::process::exit(2);
    }
    if cfg!(debug_assertions) {
        eprintln!("note: this is not a release build; its numbers mean nothing");
    }
    let mut rows = Vec::new();
    for (name, measure) in
        GROUPS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| is_meant(name, w)))
    {
        eprintln!("measuring {name} …");
        rows.extend(measure());
    }
    report::print(&rows);
}
