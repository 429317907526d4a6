//! The one place where records are made.
//!
//! Ids and times are given: a record that is sent again after a crash must be the same record.

use std::fmt;

use super::agent::{AgentContent, AgentEvent, AgentRecord, EventContent, EventMessage, EventMode, Ready};
use super::envelope::{
    Envelope, Nothing, SessionEvent, SessionRecord, Speaker, Start, TextEvent, TokenUsage, ToolCallEnd,
    ToolCallStart, TurnEnd, TurnStatus,
};
use super::user::{MessageMeta, UserContent, UserRecord, UserText};
use super::{FileEvent, Record};
use crate::sync::Object;
use crate::sync::bounded::{Hidden, Id, Line, Name, Text, TooLong};
use crate::sync::rpc::AgentControl;

/// An id of the form of a cuid2, which Happy's app wants for some: 24 characters, a letter first, then letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Id);

impl RecordId {
    /// An id of 24 random bytes, which the caller supplies. A little over 123 bits of them remain.
    #[must_use]
    pub fn from_random(bytes: [u8; 24]) -> Self {
        const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
        const ALL: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let text: String = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                let byte = usize::from(*byte);
                char::from(if at == 0 { LETTERS[byte % 26] } else { ALL[byte % 36] })
            })
            .collect();
        Self(Id::cut(text))
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Makes the records of one session. What belongs to a turn or sub-agent is said once and holds until it is said anew.
#[derive(Debug, Clone)]
pub struct RecordBuilder {
    sent_from: Name,
    turn: Option<Id>,
    subagent: Option<Id>,
    claude_uuid: Option<Id>,
    codex_item_id: Option<Id>,
    usage: Option<TokenUsage>,
}

impl RecordBuilder {
    /// For records of a program of this name (`cli` is what Happy's app expects of a machine).
    #[must_use]
    pub fn new(sent_from: Name) -> Self {
        Self { sent_from, turn: None, subagent: None, claude_uuid: None, codex_item_id: None, usage: None }
    }

    /// The records that follow belong to this turn, or to none.
    pub fn turn(&mut self, turn: Option<RecordId>) -> &mut Self {
        self.turn = turn.map(|id| id.0);
        self
    }

    /// The records that follow are this sub-agent's, or the agent's own.
    pub fn subagent(&mut self, subagent: Option<RecordId>) -> &mut Self {
        self.subagent = subagent.map(|id| id.0);
        self
    }

    /// Claude's own id of the next record.
    pub fn claude_uuid(&mut self, uuid: Id) -> &mut Self {
        self.claude_uuid = Some(uuid);
        self
    }

    /// Codex's own id of the next record.
    pub fn codex_item(&mut self, item: Id) -> &mut Self {
        self.codex_item_id = Some(item);
        self
    }

    /// Tokens the next record took.
    pub fn usage(&mut self, usage: TokenUsage) -> &mut Self {
        self.usage = Some(usage);
        self
    }

    /// Words of the agent.
    ///
    /// # Errors
    /// [`TooLong`] beyond [`crate::sync::bounds::PLAINTEXT`].
    pub fn text(&mut self, id: &RecordId, time: u64, text: impl Into<String>) -> Result<Record, TooLong> {
        let text = TextEvent { text: Hidden::new(Text::new(text)?), thinking: None };
        Ok(self.envelope(id, time, SessionEvent::Text(text)))
    }

    /// Thoughts of the agent.
    ///
    /// # Errors
    /// [`TooLong`] beyond [`crate::sync::bounds::PLAINTEXT`].
    pub fn thinking(&mut self, id: &RecordId, time: u64, text: impl Into<String>) -> Result<Record, TooLong> {
        let text = TextEvent { text: Hidden::new(Text::new(text)?), thinking: Some(true) };
        Ok(self.envelope(id, time, SessionEvent::Text(text)))
    }

    /// Words of the program around the agent.
    ///
    /// # Errors
    /// [`TooLong`] beyond [`crate::sync::bounds::PLAINTEXT`].
    pub fn service(&mut self, id: &RecordId, time: u64, text: impl Into<String>) -> Result<Record, TooLong> {
        let text = TextEvent { text: Hidden::new(Text::new(text)?), thinking: None };
        Ok(self.envelope(id, time, SessionEvent::Service(text)))
    }

    /// A tool is used. Titles too long are cut.
    pub fn tool_start(
        &mut self,
        id: &RecordId,
        time: u64,
        call: Id,
        name: Name,
        title: &str,
        args: Object,
    ) -> Record {
        let title = Line::cut(title);
        self.envelope(
            id,
            time,
            SessionEvent::ToolCallStart(ToolCallStart {
                call,
                name,
                title: Hidden::new(title.clone()),
                description: Hidden::new(title),
                args: Hidden::new(args),
            }),
        )
    }

    /// A tool is done.
    pub fn tool_end(&mut self, id: &RecordId, time: u64, call: Id, failed: bool) -> Record {
        let end = ToolCallEnd { call, output: None, is_error: failed.then_some(true) };
        self.envelope(id, time, SessionEvent::ToolCallEnd(end))
    }

    /// A file.
    pub fn file(&mut self, id: &RecordId, time: u64, file: FileEvent) -> Record {
        self.envelope(id, time, SessionEvent::File(file))
    }

    /// A turn begins; what follows belongs to it.
    pub fn turn_start(&mut self, id: &RecordId, time: u64, turn: RecordId) -> Record {
        self.turn = Some(turn.0);
        self.envelope(id, time, SessionEvent::TurnStart(Nothing {}))
    }

    /// The turn ends; what follows belongs to none. Due for every turn that started: remote clients wait for it.
    pub fn turn_end(&mut self, id: &RecordId, time: u64, status: TurnStatus) -> Record {
        let record = self.envelope(id, time, SessionEvent::TurnEnd(TurnEnd { status }));
        self.turn = None;
        record
    }

    /// A sub-agent begins. Its title is cut when it is too long.
    pub fn subagent_start(&mut self, id: &RecordId, time: u64, title: Option<&str>) -> Record {
        self.envelope(id, time, SessionEvent::Start(Start { title: title.map(Line::cut) }))
    }

    /// The sub-agent ends; what follows is the agent's own.
    pub fn subagent_stop(&mut self, id: &RecordId, time: u64) -> Record {
        let record = self.envelope(id, time, SessionEvent::Stop(Nothing {}));
        self.subagent = None;
        record
    }

    /// Words a person typed at the terminal.
    ///
    /// # Errors
    /// [`TooLong`] beyond [`crate::sync::bounds::PLAINTEXT`].
    pub fn user_text(&self, text: impl Into<String>) -> Result<Record, TooLong> {
        let text = UserText { text: Hidden::new(Text::new(text)?), images: Vec::new() };
        Ok(Record::User(UserRecord {
            content: UserContent::Text(text),
            local_key: None,
            meta: Some(self.meta()),
        }))
    }

    /// Words for the person, outside of any turn.
    ///
    /// # Errors
    /// [`TooLong`] beyond [`crate::sync::bounds::PLAINTEXT`].
    pub fn notice(&self, id: &RecordId, text: impl Into<String>) -> Result<Record, TooLong> {
        let message = EventMessage { message: Hidden::new(Text::new(text)?) };
        Ok(Self::event(id, AgentEvent::Message(message)))
    }

    /// Somebody else drives now.
    #[must_use]
    pub fn switched(&self, id: &RecordId, to: AgentControl) -> Record {
        let mode = match to {
            AgentControl::Local => "local",
            AgentControl::Remote => "remote",
        };
        Self::event(id, AgentEvent::Switch(EventMode { mode: Name::cut(mode) }))
    }

    /// The agent may do more or less unasked.
    #[must_use]
    pub fn permission_mode(&self, id: &RecordId, mode: Name) -> Record {
        Self::event(id, AgentEvent::PermissionModeChanged(EventMode { mode }))
    }

    /// The agent waits.
    #[must_use]
    pub fn ready(&self, id: &RecordId) -> Record {
        Self::event(id, AgentEvent::Ready(Ready {}))
    }

    fn event(id: &RecordId, data: AgentEvent) -> Record {
        let content = AgentContent::Event(EventContent { id: id.0.clone(), data });
        Record::Agent(AgentRecord { content, meta: None })
    }

    fn envelope(&mut self, id: &RecordId, time: u64, ev: SessionEvent) -> Record {
        Record::Session(SessionRecord {
            content: Envelope {
                id: id.0.clone(),
                time,
                role: Speaker::Agent,
                turn: self.turn.clone(),
                subagent: self.subagent.clone(),
                claude_uuid: self.claude_uuid.take(),
                codex_item_id: self.codex_item_id.take(),
                usage: self.usage.take(),
                ev,
            },
            meta: Some(self.meta()),
        })
    }

    fn meta(&self) -> MessageMeta {
        MessageMeta { sent_from: Some(self.sent_from.clone()), ..MessageMeta::default() }
    }
}
