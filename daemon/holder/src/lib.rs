//! The process that holds one session.
//!
//! It owns the terminal (or pipes) of the session's runner, the tree of processes under it, the output journal and the
//! attached clients. It decides nothing: it is told by the daemon, and it outlives every daemon. One thread, one
//! `poll`; while nothing happens it does not wake up.
//!
//! Who may do what: the *daemon* (the newest connection that says it is) starts runners, signals the tree and closes
//! the holder. One *controller* types and sets the size. Everybody else *views*.

mod arguments;
mod client;
mod clock;
mod exec_failure;
mod forked;
mod generation;
mod holder;
mod input_queue;
mod listener;
mod output;
mod output_log;
mod processes;
mod requests;
mod runner;
pub mod screen;
mod signals;
mod startup;
mod tree;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use arguments::{Arguments, Asked};

/// The program: parses the command line and holds the session until it is over.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let asked = arguments::parse(arguments);
    let text = match &asked {
        Ok(Asked::Run(arguments)) => return hold(arguments),
        Ok(Asked::Help) => arguments::HELP.to_owned(),
        Ok(Asked::Version) => {
            format!(
                "delight-holder {} (protocol {})\n",
                env!("CARGO_PKG_VERSION"),
                delight_proto::holder::VERSION
            )
        }
        Err(problem) => {
            note(problem);
            return ExitCode::from(2);
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn hold(arguments: &Arguments) -> ExitCode {
    match holder::Holder::open(arguments).and_then(holder::Holder::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            note(&e.to_string());
            ExitCode::FAILURE
        }
    }
}

/// One line in the holder's log, which is its standard error.
pub(crate) fn note(text: &str) {
    // A log that cannot be written is no reason to end a session.
    let _ = writeln!(std::io::stderr(), "{} {text}", clock::now_ms());
}
