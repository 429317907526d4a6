//! What the fake agent remembers of a conversation: how many turns it had, and which messages it was given.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;

use delight_proto::id::ConversationId;
use serde::{Deserialize, Serialize};

/// Messages that are remembered, against doubles.
const MESSAGES: usize = 1_000;

/// A conversation and its file.
#[derive(Debug)]
pub(crate) struct Conversation {
    path: PathBuf,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    turns: u64,
    messages: VecDeque<String>,
}

impl Conversation {
    /// Goes on with it, or begins it.
    pub(crate) fn open(id: &ConversationId) -> io::Result<Self> {
        let home = std::env::var_os("HOME").ok_or_else(|| io::Error::other("HOME is not set"))?;
        let directory = PathBuf::from(home).join(".delight-fake-agent");
        fs::create_dir_all(&directory)?;
        let name: String = id
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        let path = directory.join(format!("{name}.json"));
        let state = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, state })
    }

    /// Turns so far.
    pub(crate) fn turns(&self) -> u64 {
        self.state.turns
    }

    /// Whether the message was given before.
    pub(crate) fn knows(&self, message: &str) -> bool {
        self.state.messages.iter().any(|known| known == message)
    }

    /// A turn begins with this message. Returns its number, from 1.
    pub(crate) fn begin_turn(&mut self, message: &str) -> io::Result<u64> {
        self.state.turns += 1;
        self.state.messages.push_back(message.to_owned());
        if self.state.messages.len() > MESSAGES {
            self.state.messages.pop_front();
        }
        let fresh = self.path.with_extension("fresh");
        fs::write(&fresh, serde_json::to_vec(&self.state)?)?;
        fs::rename(&fresh, &self.path)?;
        Ok(self.state.turns)
    }
}
