//! `delight-fake-agent`: stands in for a coding agent, and says so.
//!
//! It does exactly what a small script tells it: speaks, asks permission, hangs, crashes, floods, forks. Delight's `fake`
//! session kind runs it, the tests lean on it, and a person can try the supervisor's promises with it without paying
//! a model: `delightctl spawn --kind fake -- --script 'ask rm -rf; say done'`.

#![forbid(unsafe_op_in_unsafe_fn)]

mod conversation;
mod perform;
mod remote;
mod script;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use delight_proto::agent::Mode;
use delight_proto::id::ConversationId;

use conversation::Conversation;

/// A FAKE agent for trying and testing delight. It has no model and no network: it does what its script says.
#[derive(Parser)]
#[command(name = "delight-fake-agent", version, after_help = script::REFERENCE)]
struct Arguments {
    /// The script itself.
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    script: Option<String>,
    /// Speak with a program, not with a person: newline-delimited JSON on standard input and output.
    #[arg(long)]
    remote: bool,
    /// The conversation to go on with; remembered in ~/.delight-fake-agent.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    /// The model, which there is none of.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The permission mode.
    #[arg(long, value_name = "NAME")]
    permission_mode: Option<String>,
    /// How hard it is to think, which it does not.
    #[arg(long, value_name = "LEVEL")]
    effort: Option<String>,
    /// Say that it cannot serve when started local, or remote.
    #[arg(long, value_name = "local|remote")]
    refuse: Option<Driver>,
    /// Fail before it serves when started local, or remote.
    #[arg(long, value_name = "local|remote")]
    fail: Option<Driver>,
    /// A file that holds the script. Without either: `say ready; read; repeat`.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Whom it can be started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Driver {
    Local,
    Remote,
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
    let driver = if arguments.remote { Driver::Remote } else { Driver::Local };
    if arguments.fail == Some(driver) {
        // A failing program's last words go where they always do.
        let _ = writeln!(std::io::stderr(), "it was told to fail\nand it does");
        return Ok(4);
    }
    if arguments.remote {
        let start = remote::Start {
            conversation: arguments.conversation.clone(),
            mode: Mode {
                model: arguments.model.clone(),
                permission_mode: arguments.permission_mode.clone(),
                effort: arguments.effort.clone(),
            },
            refuse: arguments.refuse == Some(Driver::Remote),
        };
        return Ok(remote::converse(&start)?);
    }
    if arguments.refuse == Some(Driver::Local) {
        return Err("it was told to refuse".into());
    }
    let conversation = arguments.conversation.as_ref().map(Conversation::open).transpose()?;
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
    Ok(perform::perform(&statements, conversation.as_ref())?)
}
