//! `delight-fake-agent`: stands in for a coding agent, and says so.
//!
//! It does exactly what a small script tells it: speaks, asks permission, hangs, crashes, floods, forks. Delight's `fake`
//! session kind runs it, the tests lean on it, and a person can try the supervisor's promises with it without paying
//! a model: `delightctl spawn --kind fake -- --script 'ask rm -rf; say done'`.

#![forbid(unsafe_op_in_unsafe_fn)]

mod perform;
mod script;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// A FAKE agent for trying and testing delight. It has no model and no network: it does what its script says.
#[derive(Parser)]
#[command(name = "delight-fake-agent", version, after_help = script::REFERENCE)]
struct Arguments {
    /// The script itself.
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    script: Option<String>,
    /// A file that holds the script. Without either: `say ready; read; repeat`.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What it does without a script: answers lines.
const DEFAULT_SCRIPT: &str = "say fake agent ready; read; repeat";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Where nobody listens any more there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "delight-fake-agent: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8, Box<dyn std::error::Error>> {
    let text = match (&arguments.script, &arguments.file) {
        (Some(text), _) => text.clone(),
        (None, None) => DEFAULT_SCRIPT.to_owned(),
        (None, Some(path)) => {
            let mut text = String::new();
            // One byte beyond the bound is enough for the parser to refuse it.
            let limit = script::MAX_SCRIPT as u64 + 1;
            let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
            read.map_err(|error| format!("the script {} cannot be read: {error}", path.display()))?;
            text
        }
    };
    let statements = script::parse(&text).map_err(|bad| format!("the script is wrong: {bad}"))?;
    Ok(perform::perform(&statements)?)
}
