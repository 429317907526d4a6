//! `send`: types into a session without attaching, or gives its agent a message.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use delight_proto::agent::Control;
use delight_proto::agent::bounds::MESSAGE;
use delight_proto::api::method::{
    PromptParams, SendParams, SendResult, SessionGet, SessionPrompt, SessionRef, SessionSend,
};
use delight_proto::id::BadName;

use super::spawn::fresh_id;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Failure, system, usage};
use crate::{keys, text};

/// Bytes a request carries: in base64, sealed and in base64 again it goes through a server too.
const PIECE: usize = 256 << 10;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
An agent the phone drives gets the text as one message. Any other session gets it as it is, as if typed, without a line end \
unless --enter is given; keys follow the text, in the order given. Some agents take one message at a time: one that works gets \
the next when it is idle, and this waits for that; the message stays on record when you do not.

Examples:
  delightctl send build 'make test' --enter
  delightctl send build --key ctrl-c
  delightctl send build -- --text that begins with a dash
  git diff | delightctl send review -
  delightctl send review 'now write the tests'")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// Words, joined with blanks; a single - reads standard input
    text: Vec<String>,
    /// Send the contents of a file
    #[arg(long, value_name = "PATH", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Send a key: ctrl-c, enter, up, esc, alt-x, … (may be repeated)
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    key: Vec<Key>,
    /// Press Enter at the end
    #[arg(long, short)]
    enter: bool,
}

/// The bytes of one key.
#[derive(Debug, Clone)]
struct Key(Vec<u8>);

fn parse_key(text: &str) -> Result<Key, String> {
    keys::bytes(text).map(Key)
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut daemon = context.daemon()?;
        let view = daemon.call::<SessionGet>(&SessionRef { session: self.session.clone() })?;
        if view.agent.as_ref().is_some_and(|agent| agent.control == Control::Remote) {
            return self.prompt(context, &mut daemon);
        }
        let mut tail: Vec<u8> = self.key.into_iter().flat_map(|key| key.0).collect();
        if self.enter {
            tail.push(b'\r');
        }
        let mut source: Box<dyn Read> = if let Some(path) = &self.file {
            let file = File::open(path).map_err(|e| {
                usage(format!("{} cannot be sent", path.display()), e.to_string(), "name another file")
            })?;
            Box::new(file.chain(std::io::Cursor::new(tail)))
        } else if self.text.len() == 1 && self.text[0] == "-" {
            Box::new(std::io::stdin().chain(std::io::Cursor::new(tail)))
        } else {
            let bytes = [self.text.join(" ").into_bytes(), tail].concat();
            if bytes.is_empty() {
                return Err(usage(
                    "there is nothing to send",
                    "neither text nor a key was given",
                    "give text, --key, --enter, --file or -",
                ));
            }
            Box::new(std::io::Cursor::new(bytes))
        };
        let mut total = 0;
        loop {
            let mut piece = Vec::new();
            let read = source.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            read.map_err(|e| system("what is to be sent could not be read", e))?;
            if piece.is_empty() {
                break;
            }
            // One after the other: the order of the bytes is the order of the answers.
            let params =
                SendParams { session: self.session.clone(), data: STANDARD.encode(&piece), request_id: None };
            total += daemon.call::<SessionSend>(&params)?.bytes;
        }
        context.out.result(&SendResult { bytes: total }, || {
            format!("{} sent\nnext: delightctl logs {} --tail 20\n", text::count(total, "byte"), self.session)
        })?;
        Ok(0)
    }
    /// Gives the text to an agent the phone drives.
    fn prompt(self, context: &Context, daemon: &mut Connection) -> Result<u8, Failure> {
        if !self.key.is_empty() {
            return Err(usage(
                "keys cannot be sent",
                "the phone drives: the agent has no terminal now",
                "delightctl abort stops it, delightctl switch SESSION local gives it its terminal back",
            ));
        }
        let bound = MESSAGE as u64 + 1;
        let mut text = String::new();
        if let Some(path) = &self.file {
            let read = File::open(path).and_then(|file| file.take(bound).read_to_string(&mut text));
            read.map_err(|e| {
                usage(format!("{} cannot be sent", path.display()), e.to_string(), "name another file")
            })?;
        } else if self.text.len() == 1 && self.text[0] == "-" {
            let read = std::io::stdin().take(bound).read_to_string(&mut text);
            read.map_err(|e| system("what is to be sent could not be read", e))?;
        } else {
            text = self.text.join(" ");
        }
        if text.len() > MESSAGE {
            return Err(usage(
                "the message cannot be sent",
                format!("it is longer than {MESSAGE} bytes"),
                "write it to a file and tell the agent to read that",
            ));
        }
        let local_id = Some(fresh_id()?.parse().map_err(|e: BadName| system("the message's id", e))?);
        let sent =
            daemon.call::<SessionPrompt>(&PromptParams { session: self.session.clone(), text, local_id })?;
        context.out.result(&sent, || {
            format!("the agent has it\nnext: delightctl wait {} --until idle,permission\n", self.session)
        })?;
        Ok(0)
    }
}
