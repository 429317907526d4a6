//! `delightctl`: the client people use.
//!
//! It asks the daemon over its control socket and, to attach, talks to a session's holder directly. It is plain
//! blocking code in one thread: a command is one process that should be over before one notices.

mod afar;
mod attach;
mod cli;
mod command;
mod connection;
mod context;
mod failure;
mod happening;
mod holder;
mod keys;
mod later;
mod launch;
mod logs;
mod output;
mod peer;
mod place;
mod qr;
mod service;
mod span;
mod table;
mod text;
mod unreachable;
mod view;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use delight_proto::refusal::{Code, Refusal};

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;

/// Characters of the reason why a command line is not understood.
const LONGEST_REASON: usize = 400;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let Cli { command, machine, json } = cli;
    let out = Output::new(json).about(machine.as_deref());
    let status = match guarded(|| command.run(&Context { out, machine })) {
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

/// Turns a panic into a refusal, told once the terminal is in order again: unwinding restores it.
fn guarded(run: impl FnOnce() -> Result<u8, Failure>) -> Result<u8, Failure> {
    static FAULT: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut fault) = FAULT.lock() {
            *fault = info.to_string().replace('\n', " ");
        }
    }));
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let words = FAULT.lock().map(|fault| fault.clone()).unwrap_or_default();
        Err(Refusal::new(Code::Internal, "delightctl has a fault", words)
            .fix("please report it with these words; sessions are not touched by it")
            .into())
    })
}

/// The command that explains the command line at hand.
fn help() -> String {
    let known = Cli::command();
    let named = std::env::args().skip(1).find(|arg| known.find_subcommand(arg).is_some());
    named.map_or_else(|| "delightctl --help".to_owned(), |name| format!("delightctl {name} --help"))
}

/// Whether a command line that cannot be understood asks for JSON.
fn wants_json() -> bool {
    std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

/// A command line that cannot be run: help and version as asked for, else what, why and fix.
fn misunderstood(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever closed the pipe has seen enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !wants_json() => {
            let _ = error.print();
            ExitCode::from(2)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let failure =
                failure::usage("the command line cannot be understood", "it names no command", help());
            if let Failure::Refused(refusal) = &failure {
                Output::new(true).refusal(refusal);
            }
            ExitCode::from(failure.status())
        }
        _ => {
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
                .map_or_else(help, |usage| format!("usage: {usage}; {}", help()));
            // It quotes what was typed, however long that is.
            let reason = text::shortened(&reason, LONGEST_REASON);
            let failure = failure::usage("the command line cannot be understood", reason, fix);
            if let Failure::Refused(refusal) = &failure {
                Output::new(wants_json()).refusal(refusal);
            }
            ExitCode::from(failure.status())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unreachable_code)]
    fn a_fault_is_told_as_what_why_and_fix() {
        let before = std::panic::take_hook();
        let failure = guarded(|| {
            panic!("one\ntwo");
        });
        std::panic::set_hook(before);
        let Err(Failure::Refused(refusal)) = failure else { panic!("not told") };
        assert!(refusal.reason.contains("one two") && !refusal.reason.contains('\n'), "{refusal:?}");
        assert!(!refusal.fix.is_empty());
    }
}
