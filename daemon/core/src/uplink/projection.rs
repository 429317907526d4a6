//! From a session's events to the records phones read.
//!
//! Everything a record holds is made of the events up to it, its ids included: read again after a crash the same events
//! give the same records, so that a second write of one is recognised by its local id. A power cut may tear events off the
//! log that the server has, and their numbers are used again: an id is made of the event, not only of its number.

use std::collections::BTreeMap;

use delight_proto::agent::bounds::{COMPLETED, PENDING};
use delight_proto::agent::{
    AgentRecord, Control, Mode, Outcome, PermissionAsk, RecordBody, Scope, Source,
    TurnStatus as AgentTurnStatus,
};
use delight_proto::event::{Event, EventBody};
use delight_proto::id::{PermissionId, SessionId};
use delight_proto::session::Origin;
use delight_proto::sync::Object;
use delight_proto::sync::bounded::{Hidden, Id, Name, Text, TooLong};
use delight_proto::sync::record::{Record, RecordBuilder, RecordId, SessionEvent, TokenUsage, TurnStatus};
use delight_proto::sync::rpc::AgentControl;
use serde_json::{Value, json};

use super::facts::bounded;
use super::outbox::Notice;

/// Bytes of a record's plaintext: sealed and in base64 it must fit a socket packet of a million bytes with room around it.
const RECORD_BYTES: usize = 500_000;
/// Bytes of a decided permission's input: two hundred of them are sent together at every change.
const DECIDED_INPUT: usize = 1 << 10;

/// How much may be left out of what a phone missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinning {
    /// Nothing.
    Whole,
    /// Thoughts and token counts.
    Lean,
    /// All but how turns began and ended, what people wrote and the agent's last words of each turn; how much was left out
    /// is said. Decisions are never left out.
    Folded,
}

/// A record on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Stable over every attempt to send it.
    pub local_id: Id,
    /// The record.
    pub record: Record,
}

/// What the events so far mean for those that follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    session: SessionId,
    /// The last event taken in.
    through: u64,
    turn: Option<String>,
    usage: Option<TokenUsage>,
    left_out: u64,
    asked: BTreeMap<PermissionId, (u64, PermissionAsk)>,
    completed: BTreeMap<String, (u64, Value)>,
}

/// An id of the form phones want, the same for the same session and label.
#[must_use]
pub fn record_id(session: SessionId, label: &str) -> RecordId {
    let mut bytes = [0_u8; 24];
    for (lane, chunk) in (1..).zip(bytes.chunks_exact_mut(8)) {
        let of = session.as_str().bytes().chain([0]).chain(label.bytes());
        chunk.copy_from_slice(&digest(lane, of).to_be_bytes());
    }
    RecordId::from_random(bytes)
}

/// FNV-1a with another beginning for each lane, then mixed: ids need to differ, not to be unforeseeable.
fn digest(lane: u64, of: impl Iterator<Item = u8>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ (lane << 56);
    for byte in of {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// What an event's records are called: its number, for people, and its digest, so that another event that got the same
/// number after a torn log is another. One that is the same in all, its time included, is the same.
///
/// An item the agent gave a key is the same wherever it stands in the log: when it was torn off, the runner's journal
/// gives it again.
fn label(event: &Event) -> String {
    // Plain structs: serialising them cannot fail.
    let of = |bytes: serde_json::Result<Vec<u8>>| digest(0, bytes.unwrap_or_default().into_iter());
    match &event.body {
        EventBody::Recorded { source: Source::Stream, mark, record } if record.key.is_some() => {
            format!("i{}-{:016x}", mark.offset, of(serde_json::to_vec(&(mark, record))))
        }
        _ => format!("{}-{:016x}", event.seq, of(serde_json::to_vec(event))),
    }
}

impl Projection {
    /// Of a session nothing has happened to.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            through: 0,
            turn: None,
            usage: None,
            left_out: 0,
            asked: BTreeMap::new(),
            completed: BTreeMap::new(),
        }
    }

    /// The last event taken in.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// Decided permissions, for the agent state.
    #[must_use]
    pub fn completed(&self) -> Object {
        self.completed.iter().map(|(id, (_, request))| (id.clone(), request.clone())).collect()
    }

    /// The record of a notice.
    #[must_use]
    pub fn notice(&self, notice: &Notice) -> Option<Outgoing> {
        let mut one = One::new(self, &format!("r{}", notice.about), notice.at_ms);
        one.notice(&notice.text);
        one.out.pop()
    }

    /// Takes in an event and gives the records it makes. `next` are the events after it, as far as they were read:
    /// what is folded looks ahead.
    pub fn project(&mut self, event: &Event, next: &[Event], thinning: Thinning) -> Vec<Outgoing> {
        let lost = event.seq.saturating_sub(self.through + 1);
        let label = label(event);
        let mut out = Vec::new();
        if lost > 0 {
            let mut one = One::new(self, &format!("{label}.lost"), event.at_ms);
            one.notice(&format!(
                "{lost} entries of this session's log were dropped before they could be sent"
            ));
            out.append(&mut one.out);
        }
        let mut one = One::new(self, &label, event.at_ms);
        self.event(&mut one, event, next, thinning);
        self.through = event.seq;
        out.append(&mut one.out);
        out
    }

    fn event(&mut self, one: &mut One, event: &Event, next: &[Event], thinning: Thinning) {
        match &event.body {
            EventBody::Recorded { record, .. } => self.record(one, record, event.seq, next, thinning),
            EventBody::MessageAccepted { message } if !matches!(message.origin, Origin::Phone { .. }) => {
                one.user(&message.text);
            }
            EventBody::MessageDropped { reason, .. } => {
                one.notice(&format!("A message was not given to the agent: {reason}"));
            }
            EventBody::ControlChanged { control, .. } => one.push(|builder, id| {
                builder.switched(
                    id,
                    match control {
                        Control::Local => AgentControl::Local,
                        Control::Remote => AgentControl::Remote,
                    },
                )
            }),
            EventBody::ModeChanged { mode: Mode { permission_mode: Some(mode), .. }, .. } => {
                one.push(|builder, id| builder.permission_mode(id, Name::cut(mode.as_str())));
            }
            EventBody::PermissionAsked { ask, .. } => self.asked(event.at_ms, ask),
            EventBody::PermissionEnded { id, outcome, decision, why, .. } => {
                let (asked_ms, ask) = self.asked.remove(id).unzip();
                let status = match outcome {
                    Outcome::Allowed => "approved",
                    Outcome::Denied | Outcome::Expired => "denied",
                    Outcome::Withdrawn => "canceled",
                };
                let reason = decision.as_ref().and_then(|decision| decision.reason.clone());
                let for_session = decision.as_ref().is_some_and(|decision| decision.scope == Scope::Session);
                let request = json!({
                    "tool": ask.as_ref().map_or("unknown", |ask| ask.tool.as_str()),
                    "arguments": ask.as_ref().map(|ask| bounded(&ask.input, &mut DECIDED_INPUT.clone())),
                    "createdAt": asked_ms.unwrap_or(event.at_ms),
                    "completedAt": event.at_ms,
                    "status": status,
                    "reason": reason.or_else(|| (!why.is_empty()).then(|| why.clone())),
                    "mode": decision.as_ref().and_then(|decision| decision.permission_mode.clone()),
                    "decision": match outcome {
                        Outcome::Allowed if for_session => "approved_for_session",
                        Outcome::Allowed => "approved",
                        Outcome::Denied | Outcome::Expired => "denied",
                        Outcome::Withdrawn => "abort",
                    },
                });
                self.completed.insert(id.as_str().to_owned(), (event.at_ms, request));
                while self.completed.len() > COMPLETED {
                    let oldest =
                        self.completed.iter().min_by_key(|(_, (at, _))| *at).map(|(id, _)| id.clone());
                    oldest.map(|id| self.completed.remove(&id));
                }
            }
            EventBody::StartFailed { reason, .. } => {
                self.end_turn(one, TurnStatus::Failed);
                one.notice(&format!("It could not be started: {reason}"));
            }
            EventBody::Exited { .. } => self.end_turn(one, TurnStatus::Cancelled),
            EventBody::Interrupted { reason } => {
                self.end_turn(one, TurnStatus::Cancelled);
                one.notice(&format!("Interrupted: {reason}"));
            }
            EventBody::Skipped { bytes, what, .. } => {
                one.notice(&format!("{bytes} bytes of the agent's output were not understood ({what})"));
            }
            _ => {}
        }
    }

    fn asked(&mut self, at_ms: u64, ask: &PermissionAsk) {
        let ask = PermissionAsk { input: bounded(&ask.input, &mut DECIDED_INPUT.clone()), ..ask.clone() };
        self.asked.insert(ask.id.clone(), (at_ms, ask));
        while self.asked.len() > PENDING {
            let oldest = self.asked.iter().min_by_key(|(_, (at, _))| *at).map(|(id, _)| id.clone());
            oldest.map(|id| self.asked.remove(&id));
        }
    }

    fn record(&mut self, one: &mut One, record: &AgentRecord, seq: u64, next: &[Event], thinning: Thinning) {
        one.of_subagent(self.session, record);
        let folded = thinning == Thinning::Folded;
        match &record.body {
            RecordBody::TurnStarted { turn } => {
                self.end_turn(one, TurnStatus::Cancelled);
                self.turn = Some(turn.clone());
                let turn = record_id(self.session, &format!("turn {turn}"));
                one.at(|builder, id, time| Ok(builder.turn_start(id, time, turn)));
            }
            RecordBody::TurnEnded { status, .. } => self.end_turn(
                one,
                match status {
                    AgentTurnStatus::Completed => TurnStatus::Completed,
                    AgentTurnStatus::Failed => TurnStatus::Failed,
                    AgentTurnStatus::Cancelled => TurnStatus::Cancelled,
                },
            ),
            RecordBody::UserText { text } => one.user(text),
            RecordBody::Usage { .. } | RecordBody::Thinking { .. } if thinning != Thinning::Whole => {}
            RecordBody::Usage {
                input_tokens,
                output_tokens,
                cache_written_tokens,
                cache_read_tokens,
                context_window,
            } => {
                self.usage = Some(TokenUsage {
                    input_tokens: *input_tokens,
                    output_tokens: *output_tokens,
                    cache_creation_input_tokens: Some(*cache_written_tokens),
                    cache_read_input_tokens: Some(*cache_read_tokens),
                    context_window: *context_window,
                    service_tier: None,
                });
            }
            RecordBody::Thinking { text } => {
                one.at(|builder, id, time| builder.thinking(id, time, text.as_str()));
            }
            RecordBody::Text { .. } if folded && is_followed_by_text(seq, next) => self.left_out += 1,
            RecordBody::Text { text } => {
                if let Some(usage) = self.usage.take() {
                    one.builder.usage(usage);
                }
                one.at(|builder, id, time| builder.text(id, time, text.as_str()));
            }
            RecordBody::ToolStarted { .. } | RecordBody::ToolEnded { .. } if folded => self.left_out += 1,
            RecordBody::ToolStarted { call, tool, title, input } => {
                let args = match input {
                    Value::Object(args) => args.clone(),
                    other => Object::from_iter([("input".to_owned(), other.clone())]),
                };
                one.at(|builder, id, time| {
                    let (call, tool) = (Id::cut(call.as_str()), Name::cut(tool.as_str()));
                    Ok(builder.tool_start(id, time, call, tool, title, args))
                });
            }
            RecordBody::ToolEnded { call, failed, output } => one.at(|builder, id, time| {
                let mut record = builder.tool_end(id, time, Id::cut(call.as_str()), *failed);
                if let (Record::Session(session), Some(output)) = (&mut record, output)
                    && let SessionEvent::ToolCallEnd(end) = &mut session.content.ev
                {
                    end.output = Some(Hidden::new(Text::cut(output.as_str())));
                }
                Ok(record)
            }),
            RecordBody::Error { retrying: true, .. } if folded => self.left_out += 1,
            RecordBody::Error { message, retrying } => {
                let more = if *retrying { " (it tries again)" } else { "" };
                one.at(|builder, id, time| builder.service(id, time, format!("{message}{more}")));
            }
            RecordBody::Notice { message } => {
                one.at(|builder, id, time| builder.service(id, time, message.as_str()));
            }
        }
    }

    /// Ends the turn under way, if there is one: every turn that a phone has seen start, it sees end.
    fn end_turn(&mut self, one: &mut One, status: TurnStatus) {
        if self.turn.take().is_none() {
            return;
        }
        if self.left_out > 0 {
            let left_out = std::mem::take(&mut self.left_out);
            let text = format!(
                "{left_out} items of this turn were left out, as this machine was away for long; they are kept there"
            );
            one.beside("left-out", |builder, id, time| builder.service(id, time, text));
        }
        if let Some(usage) = self.usage.take() {
            one.builder.usage(usage);
        }
        one.at(|builder, id, time| Ok(builder.turn_end(id, time, status)));
    }
}

/// Whether the agent says more in the same turn, as far as was read.
fn is_followed_by_text(seq: u64, next: &[Event]) -> bool {
    for event in next.iter().filter(|event| event.seq > seq) {
        if let EventBody::Recorded { record, .. } = &event.body {
            match record.body {
                RecordBody::Text { .. } => return true,
                RecordBody::TurnEnded { .. } | RecordBody::TurnStarted { .. } => return false,
                _ => {}
            }
        }
    }
    false
}

/// The records of one event.
struct One {
    session: SessionId,
    label: String,
    time: u64,
    builder: RecordBuilder,
    /// Records made so far, but for those beside.
    made: usize,
    out: Vec<Outgoing>,
}

impl One {
    fn new(projection: &Projection, label: &str, time: u64) -> Self {
        let mut builder = RecordBuilder::new(Name::cut("cli"));
        let turn = projection.turn.as_ref();
        builder.turn(turn.map(|turn| record_id(projection.session, &format!("turn {turn}"))));
        Self { session: projection.session, label: label.to_owned(), time, builder, made: 0, out: Vec::new() }
    }

    fn of_subagent(&mut self, session: SessionId, record: &AgentRecord) {
        let parent = record.parent.as_ref();
        self.builder.subagent(parent.map(|parent| record_id(session, &format!("subagent {parent}"))));
    }

    /// `<event>` for an event's first record, `<event>.1` for its second.
    fn next_label(&self) -> String {
        match self.made {
            0 | 1 => self.label.clone(),
            n => format!("{}.{}", self.label, n - 1),
        }
    }

    fn at(&mut self, make: impl FnOnce(&mut RecordBuilder, &RecordId, u64) -> Result<Record, TooLong>) {
        self.made += 1;
        self.labelled(&self.next_label(), make);
    }

    /// A record that is there only because of how the others were thinned out: it takes no label of theirs, for they may
    /// have been sent without it before.
    fn beside(
        &mut self,
        what: &str,
        make: impl FnOnce(&mut RecordBuilder, &RecordId, u64) -> Result<Record, TooLong>,
    ) {
        self.labelled(&format!("{}.{what}", self.label), make);
    }

    fn labelled(
        &mut self,
        label: &str,
        make: impl FnOnce(&mut RecordBuilder, &RecordId, u64) -> Result<Record, TooLong>,
    ) {
        let id = record_id(self.session, label);
        // Longer than a record may be: none of ours is, its text is bounded by the event log.
        let Ok(record) = make(&mut self.builder, &id, self.time) else { return };
        let record = match record.plaintext() {
            Ok(plaintext) if plaintext.len() <= RECORD_BYTES => record,
            // Control characters take six bytes each in JSON: a quarter of a megabyte of them does not fit a packet.
            Ok(plaintext) => self.too_large(&id, plaintext.len()),
            Err(_) => self.too_large(&id, 0),
        };
        let local_id = Id::cut(format!("{}:{label}", self.session));
        self.out.push(Outgoing { local_id, record });
    }

    fn too_large(&self, id: &RecordId, bytes: usize) -> Record {
        let text =
            format!("An item of {bytes} bytes is too large to be shown here; it is kept on the machine");
        self.builder.notice(id, text).unwrap_or_else(|_| self.builder.ready(id))
    }

    fn push(&mut self, make: impl FnOnce(&RecordBuilder, &RecordId) -> Record) {
        self.at(|builder, id, _| Ok(make(builder, id)));
    }

    fn notice(&mut self, text: &str) {
        self.at(|builder, id, _| builder.notice(id, text));
    }

    fn user(&mut self, text: &str) {
        self.at(|builder, _, _| builder.user_text(text));
    }
}
