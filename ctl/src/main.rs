//! `delightctl`: the client people use.
//!
//! It asks the daemon over its control socket and, to attach, talks to a session's holder directly. It is plain
//! blocking code in one thread: a command is one process that should be over before one notices.

mod attach;
mod cli;
mod command;
mod connection;
mod context;
mod failure;
mod holder;
mod keys;
mod launch;
mod logs;
mod output;
mod peer;
mod place;
mod service;
mod span;
mod table;
mod text;
mod view;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let out = Output::new(cli.json);
    let status = match cli.command.run(&Context { out }) {
        Ok(status) => status,
        Err(failure) => {
            if let Failure::Refused(refusal) = &failure {
                out.refusal(refusal);
            }
            failure.status()
        }
    };
    ExitCode::from(status)
}

/// A command line that cannot be run: help and version as asked for, else what, why and fix.
fn misunderstood(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever closed the pipe has seen enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
            let words = error.render().to_string();
            let mut reason = String::new();
            for line in words.lines().take_while(|line| !line.starts_with("Usage:")) {
                let line = line.trim();
                if !line.is_empty() && !line.starts_with("For more information") {
                    reason.push_str(if reason.is_empty() { "" } else { " " });
                    reason.push_str(line.strip_prefix("error: ").unwrap_or(line));
                }
            }
            let fix = words
                .lines()
                .find_map(|line| line.strip_prefix("Usage: "))
                .map_or_else(|| "delightctl --help".to_owned(), |usage| format!("usage: {usage}"));
            let failure = failure::usage("the command line cannot be understood", reason, fix);
            if let Failure::Refused(refusal) = &failure {
                Output::new(json).refusal(refusal);
            }
            ExitCode::from(failure.status())
        }
    }
}
