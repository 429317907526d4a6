//! The fake agent's remote protocol: one JSON document a line.
//!
//! It is told `{"hello":…}` and answers with a header that says what it is; it is told `{"begin":{"conversation":ID}}` and
//! is ready. From then on it is told [`AgentOrder`]s and says [`AgentEvent`]s: delight's own language.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, Write};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use delight_proto::agent::{
    Activity, AgentEvent, AgentOrder, AgentRecord, Decision, Message, Mode, Offers, PermissionAsk,
    RecordBody, TurnStatus,
};
use delight_proto::id::{ConversationId, PermissionId};
use delight_proto::refusal::{Code, Refusal};
use serde::Deserialize;
use serde_json::json;

use crate::conversation::Conversation;
use crate::perform::{crash, ignore, myself, stamp, start};
use crate::script::{self, Statement};

/// Lines it reads ahead. A `deaf` one reads no more.
const AHEAD: usize = 16;

/// How it was started.
pub(crate) struct Start {
    pub(crate) conversation: Option<ConversationId>,
    pub(crate) mode: Mode,
    pub(crate) refuse: bool,
}

/// What it is told.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "one at a time is read and gone")]
enum Told {
    Order(AgentOrder),
    Begin { begin: Begin },
    Hello { hello: String },
}

#[derive(Debug, Deserialize)]
struct Begin {
    conversation: ConversationId,
}

/// Why a turn ends before its script does.
enum Cut {
    Aborted,
    /// The end of it all, with this status.
    End(u8),
    Failed(io::Error),
}

impl From<io::Error> for Cut {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

struct Agent {
    told: Receiver<io::Result<Option<Told>>>,
    conversation: Conversation,
    waiting: VecDeque<Message>,
    turn: u64,
    /// Items of this turn so far.
    items: u64,
    /// Requests nobody has decided, oldest first.
    open: BTreeMap<u64, PermissionAsk>,
    decided: BTreeMap<PermissionId, Decision>,
}

/// Converses until it is told to end, or nobody speaks any more. Returns the status to end with.
pub(crate) fn converse(start: &Start) -> io::Result<u8> {
    let (to, told) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        let mut lines = io::stdin().lock().lines();
        loop {
            let line = lines.next().transpose();
            let over = !matches!(line, Ok(Some(_)));
            let told = line.map(|line| {
                line.and_then(|line| match serde_json::from_str(&line) {
                    Ok(told) => Some(told),
                    Err(error) => {
                        // It is the tester's mistake; the agent goes on.
                        let _ = writeln!(io::stderr(), "a line was not understood: {error}");
                        None
                    }
                })
            });
            match told {
                Ok(None) if !over => {}
                told => {
                    if to.send(told).is_err() || over {
                        return;
                    }
                }
            }
        }
    });
    let id = loop {
        match told.recv() {
            Ok(Ok(Some(Told::Hello { hello }))) => {
                let header = json!({
                    "fake": "delight-fake-agent",
                    "version": env!("CARGO_PKG_VERSION"),
                    "note": "This agent is a FAKE. It has no model and does what its script says.",
                    "hello": hello,
                });
                line(&header.to_string())?;
            }
            Ok(Ok(Some(Told::Begin { begin }))) => break begin.conversation,
            Ok(Ok(Some(Told::Order(AgentOrder::End)) | None)) | Err(_) => return Ok(0),
            Ok(Ok(Some(Told::Order(_)))) => {
                return Err(io::Error::other("an order came before the beginning"));
            }
            Ok(Err(error)) => return Err(error),
        }
    };
    let id = start.conversation.clone().unwrap_or(id);
    if start.refuse {
        let refusal = Refusal::new(Code::StartFailed, "the fake agent cannot serve", "it was told to refuse")
            .fix("start it without --refuse remote");
        say(&AgentEvent::Unable { refusal })?;
    } else {
        say(&AgentEvent::Conversation { id: id.clone() })?;
        if !start.mode.is_empty() {
            say(&AgentEvent::Mode(start.mode.clone()))?;
        }
        say(&AgentEvent::Ready)?;
        say(&AgentEvent::Activity { activity: Activity::Idle })?;
    }
    let conversation = Conversation::open(&id)?;
    let mut agent = Agent {
        told,
        conversation,
        waiting: VecDeque::new(),
        turn: 0,
        items: 0,
        open: BTreeMap::new(),
        decided: BTreeMap::new(),
    };
    loop {
        let ended = match agent.waiting.pop_front() {
            Some(message) => agent.turn(&message),
            None => agent.hear(None),
        };
        match ended {
            Ok(()) | Err(Cut::Aborted) => {}
            Err(Cut::End(status)) => return Ok(status),
            Err(Cut::Failed(error)) => return Err(error),
        }
    }
}

fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

fn say(event: &AgentEvent) -> io::Result<()> {
    line(&serde_json::to_string(event)?)
}

impl Agent {
    /// Takes in what it is told next, or nothing when `until` comes first.
    fn hear(&mut self, until: Option<Instant>) -> Result<(), Cut> {
        let told = match until {
            None => self.told.recv().map_err(|_| Cut::End(0))?,
            Some(until) => match self.told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(told) => told,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Cut::End(0)),
            },
        };
        self.take(told)
    }

    /// Takes in what it has been told, without waiting.
    fn listen(&mut self) -> Result<(), Cut> {
        loop {
            match self.told.try_recv() {
                Ok(told) => self.take(told)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Cut::End(0)),
            }
        }
    }

    fn take(&mut self, told: io::Result<Option<Told>>) -> Result<(), Cut> {
        match told? {
            None => Err(Cut::End(0)),
            Some(Told::Hello { .. } | Told::Begin { .. }) => {
                Ok(self.error("it was greeted twice".to_owned())?)
            }
            Some(Told::Order(AgentOrder::Prompt { message })) => {
                let known = self.waiting.iter().any(|waiting| waiting.local_id == message.local_id);
                if known || self.conversation.knows(message.local_id.as_str()) {
                    return Ok(self.error(format!("message {} came twice", message.local_id))?);
                }
                self.waiting.push_back(message);
                Ok(())
            }
            Some(Told::Order(AgentOrder::Decide { ask, decision })) => {
                let open = self.open.iter().find(|(_, open)| open.id == ask.id).map(|(number, _)| *number);
                match open {
                    Some(number) => {
                        self.open.remove(&number);
                        self.decided.insert(ask.id, decision);
                        Ok(())
                    }
                    None => Ok(self.error(format!("a decision of {} came, which waits for none", ask.id))?),
                }
            }
            Some(Told::Order(AgentOrder::Abort)) => Err(Cut::Aborted),
            Some(Told::Order(AgentOrder::SetMode(mode))) => Ok(say(&AgentEvent::Mode(mode))?),
            Some(Told::Order(AgentOrder::End)) => Err(Cut::End(0)),
        }
    }

    fn turn(&mut self, message: &Message) -> Result<(), Cut> {
        self.turn = self.conversation.begin_turn(message.local_id.as_str())?;
        self.items = 0;
        let turn = format!("turn-{}", self.turn);
        self.record(RecordBody::TurnStarted { turn: turn.clone() })?;
        say(&AgentEvent::Activity { activity: Activity::Working })?;
        let done = match message.text.strip_prefix("do ") {
            None => Ok(self.record(RecordBody::Text { text: format!("got: {}", message.text) })?),
            Some(text) => match script::parse(text) {
                Ok(statements) => statements.iter().try_for_each(|statement| {
                    self.listen()?;
                    self.perform(statement)
                }),
                Err(bad) => Ok(self.error(format!("the script is wrong: {bad}"))?),
            },
        };
        let status = if done.is_ok() { TurnStatus::Completed } else { TurnStatus::Cancelled };
        // What it asked is moot now; nobody is told, as with real agents.
        self.open.clear();
        self.decided.clear();
        self.record(RecordBody::TurnEnded { turn, status })?;
        say(&AgentEvent::Activity { activity: Activity::Idle })?;
        done
    }

    fn record(&mut self, body: RecordBody) -> io::Result<()> {
        self.items += 1;
        let key = Some(format!("{}.{}", self.turn, self.items));
        say(&AgentEvent::Record { record: AgentRecord { key, parent: None, body } })
    }

    fn text(&mut self, text: String) -> io::Result<()> {
        self.record(RecordBody::Text { text })
    }

    fn error(&mut self, message: String) -> io::Result<()> {
        self.record(RecordBody::Error { message, retrying: false })
    }

    fn perform(&mut self, statement: &Statement) -> Result<(), Cut> {
        match statement {
            Statement::Say(text) => self.text(text.clone())?,
            Statement::Think(text) => self.record(RecordBody::Thinking { text: text.clone() })?,
            Statement::Tool { name, text } => {
                let call = format!("call-{}-{}", self.turn, self.items);
                let (tool, title) = (name.clone(), text.clone());
                let input = json!({ "text": text });
                self.record(RecordBody::ToolStarted { call: call.clone(), tool, title, input })?;
                let output = Some(format!("{name} is done"));
                self.record(RecordBody::ToolEnded { call, failed: false, output })?;
            }
            Statement::Ask(text) => {
                let id = self.ask("shell", text, |ask| ask.command = Some(text.clone()))?;
                self.answered(&id, text)?;
            }
            Statement::Write(path) => {
                let id = self.ask("write", path, |ask| ask.paths = vec![path.clone()])?;
                self.answered(&id, path)?;
            }
            Statement::Look(path) => {
                let id = self.ask("read", path, |ask| {
                    ask.paths = vec![path.clone()];
                    ask.read_only = true;
                })?;
                self.answered(&id, path)?;
            }
            Statement::Question(text) => {
                let id = self.ask("question", text, |ask| ask.question = true)?;
                self.answered(&id, text)?;
            }
            Statement::Request(text) => {
                self.ask("shell", text, |ask| ask.command = Some(text.clone()))?;
            }
            Statement::Withdraw => {
                if let Some((_, ask)) = self.open.pop_first() {
                    say(&AgentEvent::Withdrawn { id: ask.id })?;
                }
            }
            Statement::Offer(names) => {
                let offers = Offers { commands: Some(names.clone()), ..Offers::default() };
                say(&AgentEvent::Offers(offers))?;
            }
            Statement::Await => {
                while !self.open.is_empty() {
                    self.hear(None)?;
                }
                self.text("all is decided".to_owned())?;
            }
            Statement::Lines { count, .. } => {
                for number in 1..=*count {
                    self.text(format!("{number:010}"))?;
                }
            }
            Statement::Stamp { count, between } => {
                for _ in 0..*count {
                    self.text(stamp()?)?;
                    std::thread::sleep(*between);
                }
            }
            Statement::Asks(count) => {
                for number in 1..=*count {
                    let asked = Instant::now();
                    let id =
                        self.ask("shell", &number.to_string(), |ask| ask.command = Some("true".into()))?;
                    while self.decided.remove(&id).is_none() {
                        self.hear(None)?;
                    }
                    self.text(asked.elapsed().as_nanos().to_string())?;
                }
            }
            Statement::Flood(bytes) => {
                let mut left = bytes.unwrap_or(u64::MAX);
                while left > 0 {
                    self.listen()?;
                    self.text("y".repeat(1_024))?;
                    left = left.saturating_sub(1_024);
                }
            }
            Statement::Print(bytes) => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()?;
            }
            Statement::Huge(bytes) => {
                let mut out = io::stdout().lock();
                io::copy(&mut io::Read::take(io::repeat(b'x'), *bytes), &mut out)?;
                out.write_all(b"\n")?;
                out.flush()?;
            }
            Statement::Err(text) => writeln!(io::stderr(), "{text}")?,
            Statement::Turns => self.text(format!("turns: {}", self.conversation.turns()))?,
            Statement::Env(name) => {
                let value = std::env::var_os(name);
                self.text(match value {
                    Some(value) => format!("{name}={}", value.to_string_lossy()),
                    None => format!("{name} is not set"),
                })?;
            }
            Statement::Cwd => {
                let cwd = std::env::current_dir()?;
                self.text(format!("cwd: {}", cwd.display()))?;
            }
            Statement::Pid => self.text(format!("pid: {}", std::process::id()))?,
            Statement::Ignore(signals) => signals.iter().try_for_each(|signal| ignore(*signal))?,
            Statement::Fork(count) => {
                for _ in 0..*count {
                    let pid = start("hang", Stdio::null())?;
                    self.text(format!("forked: {pid}"))?;
                }
            }
            Statement::Daemon => {
                let middle = myself("orphan").stdin(Stdio::null()).stderr(Stdio::null()).output()?;
                self.text(format!("daemon: {}", String::from_utf8_lossy(&middle.stdout).trim()))?;
            }
            Statement::Pause(time) => {
                let until = Instant::now() + *time;
                while Instant::now() < until {
                    self.hear(Some(until))?;
                }
            }
            Statement::Hang => loop {
                self.hear(None)?;
            },
            Statement::Deaf => loop {
                std::thread::sleep(Duration::from_secs(3_600));
            },
            Statement::Exit(status) => return Err(Cut::End(*status)),
            Statement::Crash(signal) => crash(*signal)?,
            Statement::Read
            | Statement::Raw
            | Statement::Echo
            | Statement::Query(_)
            | Statement::Alternate(_)
            | Statement::Size
            | Statement::Umask
            | Statement::Orphan
            | Statement::Repeat => self.error("that needs a terminal".to_owned())?,
        }
        Ok(())
    }

    fn ask(
        &mut self,
        tool: &str,
        title: &str,
        more: impl FnOnce(&mut PermissionAsk),
    ) -> Result<PermissionId, Cut> {
        self.items += 1;
        let id: PermissionId =
            format!("ask-{}-{}", self.turn, self.items).parse().map_err(io::Error::other)?;
        let mut ask = PermissionAsk {
            id: id.clone(),
            tool: tool.to_owned(),
            title: title.to_owned(),
            input: json!({ "text": title }),
            call: None,
            command: None,
            paths: Vec::new(),
            read_only: false,
            question: false,
        };
        more(&mut ask);
        self.open.insert(self.items, ask.clone());
        say(&AgentEvent::Asked { ask })?;
        Ok(id)
    }

    /// Waits for a decision and says what came of it.
    fn answered(&mut self, id: &PermissionId, what: &str) -> Result<(), Cut> {
        let decision = loop {
            if let Some(decision) = self.decided.remove(id) {
                break decision;
            }
            self.hear(None)?;
        };
        let said = match (&decision.answers, &decision.reason) {
            (Some(answers), _) => format!("answered: {answers}"),
            (None, _) if decision.allow => format!("allowed: {what}"),
            (None, Some(reason)) => format!("denied: {what}: {reason}"),
            (None, None) => format!("denied: {what}"),
        };
        Ok(self.text(said)?)
    }
}
