//! The fake agent: it gets ready or not, works on what it is told, asks, takes back, falls silent; and what it wrote
//! stays in the journal, to be read again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use delight_proto::agent::{
    Activity, AgentEvent, AgentOrder, AgentRecord, Control, PermissionAsk, RecordBody, Source, TurnStatus,
};
use delight_proto::id::{ConversationId, LocalId, PermissionId, SessionId};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Exit;

use super::disk::Disk;
use super::kernel::Kernel;
use super::rng::Rng;
use crate::session::{AgentHeard, Happening};

/// Most lines a power cut takes from the end of a journal.
const TORN: u64 = 4;

/// A line somebody's agent wrote.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The conversation it is part of: each has a transcript of its own.
    talk: Option<ConversationId>,
    /// Nobody knows any more that there is such a conversation.
    lost: bool,
    pub(super) heard: AgentHeard,
}

/// What an agent's process is up to.
#[derive(Debug, Clone, Default)]
pub(super) struct Mind {
    pub(super) control: Option<Control>,
    pub(super) ready: bool,
    /// When it gets ready; none: never.
    ready_at: Option<u64>,
    /// What it is going to say, a line each.
    script: VecDeque<Vec<AgentEvent>>,
    /// The request it waits for.
    asking: Option<PermissionId>,
    turn: Option<String>,
    /// Whether it takes one message at a time.
    single: bool,
    given: BTreeSet<LocalId>,
    decided: BTreeSet<PermissionId>,
}

/// What became of an order.
pub(super) enum Obeyed {
    Done,
    /// It ends.
    Ends,
    Refused(Refusal),
    /// It works on another message, and takes one at a time.
    NotYet,
}

fn record(key: Option<String>, body: RecordBody) -> AgentEvent {
    AgentEvent::Record { record: AgentRecord { key, parent: None, body } }
}

impl Mind {
    pub(super) fn new(control: Option<Control>, now: u64, calm: bool, rng: &mut Rng) -> Self {
        let mut mind = Self { control, ready_at: Some(now + rng.below(200)), ..Self::default() };
        mind.single = rng.per_mille(300);
        if !calm && rng.per_mille(60) {
            // It hangs.
            mind.ready_at = Some(now + 20_000);
        }
        mind
    }

    /// Whether it has something to say at `now`.
    pub(super) fn is_due(&self, now: u64) -> bool {
        match self.control {
            None => false,
            Some(Control::Remote) if !self.ready => self.ready_at.is_some_and(|at| at <= now),
            Some(_) => !self.script.is_empty() && self.asking.is_none(),
        }
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.ready_at.filter(|_| self.control == Some(Control::Remote) && !self.ready)
    }

    /// The next line, and where it is written.
    fn speaks(&mut self, name: u64, calm: bool, rng: &mut Rng) -> (Source, Vec<AgentEvent>) {
        let source = if self.control == Some(Control::Remote) { Source::Stream } else { Source::Transcript };
        if self.control == Some(Control::Remote) && !self.ready {
            if !calm && rng.per_mille(150) {
                self.ready_at = None;
                let refusal = Refusal::new(Code::StartFailed, "it cannot serve", "not logged in");
                return (Source::Status, vec![AgentEvent::Unable { refusal }]);
            }
            if self.asking.is_none() && rng.per_mille(80) {
                return (source, vec![self.asks(name, rng)]);
            }
            self.ready = true;
            let conversation = format!("talk-{}", name % 3);
            let id = conversation.parse().ok();
            let mut events: Vec<_> = id.map(|id| AgentEvent::Conversation { id }).into_iter().collect();
            events.insert(rng.below(2) as usize, AgentEvent::Ready);
            if rng.per_mille(300) {
                events.push(record(Some(format!("again-{}", name % 5)), text()));
            }
            return (source, events);
        }
        let line = self.script.pop_front().unwrap_or_default();
        for event in &line {
            match event {
                AgentEvent::Asked { ask } => self.asking = Some(ask.id.clone()),
                AgentEvent::Record { record: AgentRecord { body, .. } } => match body {
                    RecordBody::TurnStarted { turn } => self.turn = Some(turn.clone()),
                    RecordBody::TurnEnded { .. } => self.turn = None,
                    _ => {}
                },
                _ => {}
            }
        }
        (source, line)
    }

    fn asks(&mut self, name: u64, rng: &mut Rng) -> AgentEvent {
        let ask = ask(name, rng);
        self.asking = Some(ask.id.clone());
        AgentEvent::Asked { ask }
    }

    /// Whether it works, and will say that it is idle again whatever people do.
    fn will_be_idle(&self) -> bool {
        let mut script = self.script.iter().flatten();
        let asks = |event: &AgentEvent| matches!(event, AgentEvent::Asked { .. });
        let idle = |event: &AgentEvent| *event == AgentEvent::Activity { activity: Activity::Idle };
        self.asking.is_none() && !script.clone().any(asks) && script.any(idle)
    }

    /// It was told something; the error is what the reducer did wrong.
    pub(super) fn obeys(&mut self, order: AgentOrder, name: u64, rng: &mut Rng) -> Result<Obeyed, String> {
        if self.control != Some(Control::Remote) {
            return Err(format!("an agent that the desktop drives was told {order:?}"));
        }
        match order {
            AgentOrder::Prompt { .. } if !self.ready => Err("told a message before it was ready".to_owned()),
            AgentOrder::Prompt { message } => {
                if rng.per_mille(40) {
                    let refusal = Refusal::new(Code::WrongState, "not taken", "it is compacting");
                    return Ok(Obeyed::Refused(refusal));
                }
                if self.single && self.will_be_idle() && !self.given.contains(&message.local_id) {
                    return Ok(Obeyed::NotYet);
                }
                if self.given.insert(message.local_id) {
                    self.works(name, rng);
                }
                Ok(Obeyed::Done)
            }
            AgentOrder::Decide { ask, decision: _ } => {
                if self.decided.insert(ask.id.clone()) && self.asking.as_ref() == Some(&ask.id) {
                    self.asking = None;
                }
                Ok(Obeyed::Done)
            }
            AgentOrder::Abort => {
                self.asking = None;
                self.script.clear();
                if let Some(turn) = self.turn.clone() {
                    let status = TurnStatus::Cancelled;
                    self.script.push_back(vec![record(None, RecordBody::TurnEnded { turn, status })]);
                }
                Ok(Obeyed::Done)
            }
            AgentOrder::SetMode(_) => Ok(Obeyed::Done),
            AgentOrder::End => Ok(Obeyed::Ends),
        }
    }

    /// What it does about a message, or at its own terminal.
    pub(super) fn works(&mut self, name: u64, rng: &mut Rng) {
        let turn = format!("turn-{name}");
        self.script.push_back(vec![
            AgentEvent::Activity { activity: Activity::Working },
            record(None, RecordBody::TurnStarted { turn: turn.clone() }),
        ]);
        for n in 0..rng.below(3) {
            self.script.push_back(vec![record(Some(format!("item-{name}-{n}")), text())]);
        }
        if rng.per_mille(400) {
            let ask = ask(name, rng);
            let id = ask.id.clone();
            self.script.push_back(vec![AgentEvent::Asked { ask: ask.clone() }]);
            if rng.per_mille(300) {
                // Said again, and perhaps moot.
                self.script.push_back(vec![AgentEvent::Asked { ask }, AgentEvent::Withdrawn { id }]);
            }
        }
        if rng.per_mille(100) {
            self.script.push_back(vec![AgentEvent::Skipped { bytes: 7, what: "not JSON".into() }]);
        }
        if rng.per_mille(800) {
            let ended = RecordBody::TurnEnded { turn, status: TurnStatus::Completed };
            self.script
                .push_back(vec![record(None, ended), AgentEvent::Activity { activity: Activity::Idle }]);
        }
    }
}

/// The conversation an event names.
fn conversation(event: &AgentEvent) -> Option<&ConversationId> {
    if let AgentEvent::Conversation { id } = event { Some(id) } else { None }
}

/// How far a session has taken in what its agent wrote.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// Whose stream it is: a reader begins with the lines of its runner.
    pub(super) generation: u64,
    /// Offsets of stream and transcript.
    pub(super) marks: (u64, u64),
    /// The conversation the transcript is of.
    pub(super) talk: Option<ConversationId>,
}

fn text() -> RecordBody {
    RecordBody::Text { text: "words".into() }
}

fn ask(name: u64, rng: &mut Rng) -> PermissionAsk {
    // Some agents count their requests from 1 in every life.
    let id = if rng.per_mille(300) { format!("ask-{}", rng.below(3)) } else { format!("ask-{name}-x") };
    PermissionAsk {
        id: id.parse().unwrap_or_else(|_| unreachable!("{id} is a permission id")),
        tool: (*rng.pick(&["read", "rm", "bash", "bash"])).to_owned(),
        title: "a tool".into(),
        input: serde_json::json!({ "n": name % 2 }),
        call: None,
        command: None,
        paths: Vec::new(),
        read_only: rng.per_mille(300),
        question: rng.per_mille(100),
    }
}

impl Kernel {
    /// The agent of a session writes a line, if it has one to write.
    pub(super) fn speaks(&mut self, id: SessionId, now: u64, rng: &mut Rng) -> bool {
        let calm = self.calm;
        self.names += 1;
        let name = self.names;
        let Some(holder) = self.holders.get_mut(&id) else { return false };
        let Some(runner) = holder.runner.as_mut().filter(|runner| runner.mind.is_due(now)) else {
            return false;
        };
        let generation = runner.generation;
        let (source, events) = runner.mind.speaks(name, calm, rng);
        if let Some(named) = events.iter().rev().find_map(conversation) {
            self.talks.insert(id, named.clone());
        }
        let talk = self.talks.get(&id).cloned();
        let lines = self.lines.entry(id).or_default();
        let same_file =
            |line: &&Line| line.heard.source == source && (source == Source::Stream || line.talk == talk);
        let same = lines.iter().rev().find(same_file);
        let offset = if source == Source::Status { 0 } else { same.map_or(0, |l| l.heard.offset) + 10 };
        let heard = AgentHeard { generation, source, offset, first: 0, events };
        lines.push(Line { talk, lost: false, heard: heard.clone() });
        if holder.connected {
            self.heard.entry(id).or_default().push_back(Happening::Agent(Box::new(heard)));
        }
        true
    }

    /// Where the journal of a session ends.
    pub(super) fn journal_end(&self, id: SessionId) -> u64 {
        let lines = self.lines.get(&id).into_iter().flatten().rev();
        lines.map(|line| &line.heard).find(|heard| heard.source == Source::Stream).map_or(0, |h| h.offset)
    }

    /// A power cut takes the newest lines from the end of each journal: the next runner writes where they stood. A
    /// conversation that only they named, and that the record does not know, is one nobody will look for.
    pub(super) fn tear(&mut self, disk: &Disk, rng: &mut Rng) {
        for (id, lines) in &mut self.lines {
            let named = |lines: &[Line]| -> Vec<ConversationId> {
                lines.iter().flat_map(|line| &line.heard.events).filter_map(conversation).cloned().collect()
            };
            let before = named(lines).len();
            for _ in 0..rng.below(TORN) {
                if let Some(last) = lines.iter().rposition(|line| line.heard.source == Source::Stream) {
                    lines.remove(last);
                }
            }
            let left = named(lines);
            if left.len() == before {
                continue;
            }
            let known = disk.folded(*id).and_then(|record| record.agent.conversation);
            let is_found = |talk: &ConversationId| left.contains(talk) || known.as_ref() == Some(talk);
            for line in lines {
                line.lost |= !line.talk.as_ref().is_none_or(is_found);
            }
            match known {
                Some(talk) => drop(self.talks.insert(*id, talk)),
                None => drop(self.talks.remove(id)),
            }
        }
    }

    /// The reader reads what was written after the marks once more.
    pub(super) fn reads_again(&mut self, id: SessionId, taken: &Taken) -> Vec<Happening> {
        let marks = taken.marks;
        let mut talk = taken.talk.clone();
        let lines = self.lines.get(&id).into_iter().flatten();
        let unread = lines.filter(|line| match line.heard.source {
            Source::Stream => {
                let unread = line.heard.generation == taken.generation && line.heard.offset >= marks.0;
                if unread && let Some(named) = line.heard.events.iter().rev().find_map(conversation) {
                    talk = Some(named.clone());
                }
                unread
            }
            Source::Transcript => {
                line.talk == talk && (line.talk != taken.talk || line.heard.offset >= marks.1)
            }
            Source::Status => false,
        });
        // Whether it is ready is said again in any case.
        let is_ready = |line: &&Line| line.heard.events.contains(&AgentEvent::Ready);
        let ready = self.lines.get(&id).into_iter().flatten().rfind(is_ready);
        let ready = ready.filter(|line| line.heard.offset < marks.0);
        ready.into_iter().chain(unread).map(|l| Happening::Agent(Box::new(l.heard.clone()))).collect()
    }

    /// What was heard comes before what ends it.
    pub(super) fn heard_first(&mut self, id: SessionId) {
        let heard = self.heard.remove(&id).unwrap_or_default();
        self.links.entry(id).or_default().extend(heard);
    }

    /// Keys of the records that the agents of a session wrote, each with how often it may be in its event log: once.
    pub(super) fn written_keys(&self, id: SessionId) -> BTreeMap<String, ()> {
        let lines = self.lines.get(&id).into_iter().flatten().filter(|line| !line.lost);
        let events = lines.flat_map(|line| &line.heard.events);
        let keys = events.filter_map(|event| match event {
            AgentEvent::Record { record } => record.key.clone(),
            _ => None,
        });
        keys.map(|key| (key, ())).collect()
    }

    /// An order reaches the runner of a session.
    pub(super) fn obeys(&mut self, id: SessionId, tag: u64, order: AgentOrder, now: u64, rng: &mut Rng) {
        self.names += 1;
        let name = self.names;
        let Some(runner) = self.holders.get_mut(&id).and_then(|holder| holder.runner.as_mut()) else {
            let refusal = Refusal::new(Code::WrongState, "not written", "no runner");
            return self.tell(id, Happening::TagFailed { tag, refusal });
        };
        match runner.mind.obeys(order, name, rng) {
            Ok(Obeyed::Done) => self.tell(id, Happening::TagDone { tag }),
            Ok(Obeyed::Ends) => {
                if !runner.stubborn && runner.ends_at.is_none() {
                    runner.ends_at = Some((now + rng.below(1_500), Exit::Code(0)));
                }
                self.tell(id, Happening::TagDone { tag });
            }
            // From the reader, like what it hears: neither overtakes the other.
            Ok(Obeyed::NotYet) => {
                self.heard.entry(id).or_default().push_back(Happening::TagNotYet { tag });
            }
            Ok(Obeyed::Refused(refusal)) => self.tell(id, Happening::TagFailed { tag, refusal }),
            Err(broken) => self.broken = Some(format!("{id}: {broken}")),
        }
    }
}
