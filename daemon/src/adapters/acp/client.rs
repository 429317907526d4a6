//! The client's side of the Agent Client Protocol, for one conversation.

use delight_proto::agent::{Activity, AgentEvent, AgentOrder, Mode, Offers, PermissionAsk, RecordBody};
use delight_proto::id::ConversationId;
use delight_proto::refusal::{Code, Refusal};
use serde_json::{Value, json};

use super::asking::{self, Asking};
use super::calls::{self, Calls};
use super::options::{Options, Setting};
use super::shapes::{Asked, Began, Command, Configured, Initialized, Update, Updated};
use super::words::Words;
use crate::adapters::codec::{Codec, Understood};
use crate::adapters::given::Given;
use crate::adapters::json_rpc::{self, Failure, Id, Incoming};
use crate::adapters::{Launch, shown};

/// The version of the protocol.
const VERSION: i64 = 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    kind: String,
    cwd: String,
    /// How its owner wants it to work.
    wanted: Mode,
    /// How it works, as it last said.
    told: Mode,
    options: Options,
    /// The conversation to go on with.
    resume: Option<String>,
    /// The conversation the agent is in.
    session: Option<String>,
    ready: bool,
    /// The agent tells an old conversation again: all of it is known.
    replaying: bool,
    /// The message it was given and has not answered: there is never more than one, because agents lose or mix a second.
    pub(super) prompt: Option<String>,
    pub(super) turn: Option<String>,
    pub(super) words: Words,
    pub(super) calls: Calls,
    pub(super) window: Option<u64>,
    /// It was last told to wait for a decision.
    pub(super) waits: bool,
    pub(super) asking: Asking,
    given: Given,
    /// Number of the next request that has no name of its own.
    next: u32,
}

impl Client {
    /// For one generation, with the model and mode it is to begin with.
    pub(super) fn new(kind: &str, launch: &Launch<'_>, model: Option<String>, mode: Option<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            cwd: launch.spec.cwd.clone(),
            wanted: Mode { model, permission_mode: mode, effort: launch.memory.mode.effort.clone() },
            told: Mode::default(),
            options: Options::default(),
            resume: launch.memory.conversation.as_ref().map(|id| id.as_str().to_owned()),
            session: None,
            ready: false,
            replaying: false,
            prompt: None,
            turn: launch.memory.turn.clone(),
            words: Words::default(),
            calls: Calls::default(),
            window: None,
            waits: false,
            asking: Asking::default(),
            given: Given::default(),
            next: 1,
        }
    }

    /// The conversation that is talked about: the agent's word, else (its beginning was not kept) the launch's.
    fn session(&self) -> Option<&str> {
        self.session.as_deref().or(self.resume.as_deref())
    }

    fn answered(
        &mut self,
        id: &str,
        result: Result<Value, Failure>,
        out: &mut Understood,
    ) -> Result<(), serde_json::Error> {
        let (what, which) = id.split_once(' ').unwrap_or((id, ""));
        match (what, result) {
            ("initialize", Ok(result)) => {
                let agent: Initialized = serde_json::from_value(result)?;
                if agent.protocol_version != VERSION {
                    let why = format!(
                        "it speaks version {} of the protocol, not {VERSION}",
                        agent.protocol_version
                    );
                    out.events.push(self.unable(&why));
                    return Ok(());
                }
                out.reply = self.begin(&agent);
            }
            ("new" | "load" | "resume", Ok(result)) => {
                // Some answer `null` to load.
                let began: Began =
                    if result.is_null() { Began::default() } else { serde_json::from_value(result)? };
                self.began(began, out);
            }
            ("load" | "resume", Err(failure)) => {
                let message = format!(
                    "the conversation cannot be gone on with ({}): a new one begins",
                    failure.message
                );
                out.events.push(shown::record(None, RecordBody::Notice { message }));
                self.replaying = false;
                self.resume = None;
                out.reply = self.begin_new();
            }
            ("initialize" | "new", Err(failure)) => out.events.push(self.unable(&failure.message)),
            ("prompt", result) => self.prompted(which, result, out)?,
            ("mode" | "model" | "effort", Ok(result)) => {
                if let Some(mode) = set_by(id) {
                    self.works(Offers::default(), mode, out);
                }
                let Configured { config_options } = serde_json::from_value(result).unwrap_or_default();
                self.configured(Configured { config_options }, out);
            }
            ("mode" | "model" | "effort", Err(failure)) => {
                let message = format!("the {what} was not changed: {}", failure.message);
                out.events.push(shown::record(None, RecordBody::Error { message, retrying: false }));
                // It was taken for what was asked.
                out.events.push(AgentEvent::Mode(self.told.clone()));
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&self, agent: &Initialized) -> Vec<u8> {
        let can = &agent.agent_capabilities;
        let way = match &self.resume {
            Some(_) if can.session_capabilities.resume.is_some() => "resume",
            Some(_) if can.load_session => "load",
            _ => return self.begin_new(),
        };
        let params = json!({"sessionId": self.resume, "cwd": self.cwd, "mcpServers": []});
        json_rpc::request(way, &format!("session/{way}"), &params)
    }

    fn begin_new(&self) -> Vec<u8> {
        json_rpc::request("new", "session/new", &json!({"cwd": self.cwd, "mcpServers": []}))
    }

    fn began(&mut self, began: Began, out: &mut Understood) {
        self.replaying = false;
        self.words = Words::default();
        self.session = began.session_id.clone().or_else(|| self.resume.clone());
        let id = self.session.clone().and_then(|id| ConversationId::try_from(id).ok());
        let Some(id) = id else {
            out.events.push(self.unable("it named its conversation in a way that cannot be kept"));
            return;
        };
        out.events.push(AgentEvent::Conversation { id });
        let (offers, mode) = self.options.began(began);
        // The owner's wishes go first, so that nothing runs under another mode.
        match self.set(self.wanted.clone().other_than(&mode)) {
            Ok(lines) => out.reply.extend(lines),
            Err(refusal) if self.resume.is_none() => {
                return out.events.push(self.unable(&refusal.reason));
            }
            // It could once: that is no reason to leave the conversation.
            Err(refusal) => {
                let message = refusal.to_string();
                out.events.push(shown::record(None, RecordBody::Error { message, retrying: false }));
            }
        }
        self.works(offers, mode, out);
        if !self.ready {
            self.ready = true;
            out.events.push(AgentEvent::Ready);
            out.events.push(AgentEvent::Activity { activity: Activity::Idle });
        }
    }

    /// Sets how it works: all that is named or nothing. The number makes a request's id one of its own; the value is in it
    /// because an answer may say nothing but that it is done.
    fn set(&mut self, mut mode: Mode) -> Result<Vec<u8>, Refusal> {
        let (mut lines, mut next) = (Vec::new(), self.next);
        for setting in Setting::ALL {
            let Some(value) = setting.of(&mut mode).take() else { continue };
            let (method, params) = self.options.set(setting, &value, self.session())?;
            lines.extend(json_rpc::request(&format!("{} {next} {value}", setting.word()), method, &params));
            next += 1;
        }
        self.next = next;
        Ok(lines)
    }

    fn configured(&mut self, configured: Configured, out: &mut Understood) {
        let (offers, mode) = self.options.configured(configured.config_options.unwrap_or_default());
        self.works(offers, mode, out);
    }

    /// Tells what it offers and how it works, as it has just said.
    fn works(&mut self, offers: Offers, mode: Mode, out: &mut Understood) {
        self.told.learn(&mode);
        if !offers.is_empty() {
            out.events.push(AgentEvent::Offers(offers));
        }
        if !mode.is_empty() {
            out.events.push(AgentEvent::Mode(mode));
        }
    }

    fn updated(&mut self, update: Update, out: &mut Understood) {
        match update {
            Update::UsageUpdate { size } => self.window = size.or(self.window),
            Update::CurrentModeUpdate { current_mode_id } => {
                let mode = Mode { permission_mode: current_mode_id, ..Mode::default() };
                self.works(Offers::default(), mode, out);
            }
            Update::ConfigOptionUpdate(configured) => self.configured(configured, out),
            Update::AvailableCommandsUpdate { available_commands } => {
                let names = |list: Vec<Command>| list.into_iter().map(|command| command.name).collect();
                let offers = Offers { commands: available_commands.map(names), ..Offers::default() };
                self.works(offers, Mode::default(), out);
            }
            _ if self.replaying => {}
            Update::Other => {}
            work => {
                if let Some(prompt) = self.prompt.clone() {
                    self.working(&prompt, out);
                }
                match work {
                    Update::AgentMessageChunk(chunk) => self.words.said(chunk, false, &mut out.events),
                    Update::AgentThoughtChunk(chunk) => self.words.said(chunk, true, &mut out.events),
                    Update::ToolCall(call) | Update::ToolCallUpdate(call) => {
                        self.words.tell(&mut out.events);
                        self.calls.told(call, &mut out.events);
                    }
                    _ => {}
                }
            }
        }
    }

    fn asked(&mut self, line: &[u8], id: &Id, params: Value, out: &mut Understood) {
        let Ok(Asked { tool_call, options }) = serde_json::from_value(params) else {
            out.events.push(shown::skipped(line, "a permission request of an unknown shape"));
            out.reply = json_rpc::not_served(id, "a request of that shape");
            return;
        };
        let name = json_rpc::permission_id(id, &tool_call.tool_call_id);
        let Some((name, permission)) = name.and_then(|name| Some((name.clone(), name.parse().ok()?))) else {
            out.events.push(shown::skipped(line, "a permission request with an unusable id"));
            out.reply = asking::cancel(id);
            return;
        };
        if let Some(prompt) = self.prompt.clone() {
            self.working(&prompt, out);
        }
        self.words.tell(&mut out.events);
        let known = self.calls.asked(tool_call, &mut out.events);
        out.reply = self.asking.open(id.clone(), name, options, &mut out.events);
        let ask = PermissionAsk {
            id: permission,
            tool: calls::tool(&known),
            title: calls::title(&known),
            input: calls::input(&known),
            call: Some(known.tool_call_id.clone()),
            command: calls::command(&known),
            paths: calls::paths(&known),
            read_only: matches!(known.kind.as_deref(), Some("read" | "search")),
            question: false,
        };
        out.events.push(AgentEvent::Asked { ask });
        self.waits = true;
        out.events.push(AgentEvent::Activity { activity: Activity::NeedsDecision });
    }

    fn unable(&self, reason: &str) -> AgentEvent {
        let what = format!("{} cannot serve this session", self.kind);
        let refusal = Refusal::new(Code::StartFailed, what, shown::title(reason))
            .fix("run the agent's own program in a terminal once, log in there, and see what it says");
        AgentEvent::Unable { refusal }
    }

    fn busy(&self) -> Refusal {
        let reason = format!("{} works on another message and takes one at a time", self.kind);
        Refusal::new(Code::Busy, "the message cannot be given yet", reason)
            .fix("wait until it is idle, or abort what it does")
    }
}

/// How an agent works that has taken the request of this id.
fn set_by(id: &str) -> Option<Mode> {
    let (word, rest) = id.split_once(' ')?;
    let (_, value) = rest.split_once(' ')?;
    let setting = Setting::ALL.into_iter().find(|setting| setting.word() == word)?;
    let mut mode = Mode::default();
    *setting.of(&mut mode) = Some(value.to_owned());
    Some(mode)
}

impl Codec for Client {
    fn greeting(&mut self) -> Vec<u8> {
        let files = json!({"readTextFile": false, "writeTextFile": false});
        let params = json!({
            "protocolVersion": VERSION,
            "clientCapabilities": {"fs": files, "terminal": false},
            "clientInfo": {"name": "delight", "title": "delight", "version": env!("CARGO_PKG_VERSION")},
        });
        json_rpc::request("initialize", "initialize", &params)
    }

    fn line(&mut self, line: &[u8]) -> Understood {
        let mut out = Understood::default();
        let read = match json_rpc::read(line) {
            Ok(Incoming::Response { id, result }) => self.answered(&id, result, &mut out),
            Ok(Incoming::Notification { method, params }) if method == "session/update" => {
                serde_json::from_value::<Updated>(params).map(|updated| {
                    if self.session().is_none_or(|ours| ours == updated.session_id) {
                        self.updated(updated.update, &mut out);
                    }
                })
            }
            Ok(Incoming::Notification { .. }) => Ok(()),
            Ok(Incoming::Request { id, method, params }) if method == "session/request_permission" => {
                self.asked(line, &id, params, &mut out);
                Ok(())
            }
            Ok(Incoming::Request { id, method, .. }) => {
                out.reply = json_rpc::not_served(&id, &method);
                Ok(())
            }
            Err(_) if line.trim_ascii().is_empty() => Ok(()),
            Err(what) => {
                out.events.push(shown::skipped(line, what));
                Ok(())
            }
        };
        if let Err(e) = read {
            out.events.push(shown::skipped(line, shown::not_understood(&e)));
        }
        out
    }

    fn wrote(&mut self, line: &[u8]) {
        let Some(written) = json_rpc::written(line) else { return };
        if let Some(answered) = written.answered {
            self.asking.answered(&answered);
        }
        let Some(request) = written.request else { return };
        self.given.note(&request);
        self.replaying |= request == "load";
        match request.split_once(' ') {
            Some(("prompt", which)) => self.prompt = Some(which.to_owned()),
            Some(("mode" | "model" | "effort", rest)) => {
                let number = rest.split_once(' ').map_or(rest, |(number, _)| number);
                self.next = self.next.max(number.parse::<u32>().unwrap_or_default().saturating_add(1));
            }
            _ => {}
        }
    }

    fn order(&mut self, order: &AgentOrder) -> Result<Vec<u8>, Refusal> {
        match order {
            AgentOrder::Prompt { message } => {
                let id = format!("prompt {}", message.local_id);
                if self.given.knows(&id) {
                    return Ok(Vec::new());
                }
                let Some(session) = self.session().filter(|_| self.ready || self.session.is_none()) else {
                    return Err(self.busy());
                };
                let text = json!([{"type": "text", "text": message.text}]);
                let line =
                    json_rpc::request(&id, "session/prompt", &json!({"sessionId": session, "prompt": text}));
                if self.prompt.is_some() {
                    return Err(self.busy());
                }
                self.given.note(&id);
                self.prompt = Some(message.local_id.to_string());
                Ok(line)
            }
            AgentOrder::Decide { ask, decision } => Ok(self.asking.decide(ask.id.as_str(), decision)),
            AgentOrder::Abort | AgentOrder::End => {
                let Some(session) = self.session().map(str::to_owned).filter(|_| self.prompt.is_some())
                else {
                    return Ok(Vec::new());
                };
                // An agent that waits for an answer may stop only when it gets one (Gemini).
                let mut lines = self.asking.cancel_all();
                lines.extend(json_rpc::notification("session/cancel", &json!({"sessionId": session})));
                Ok(lines)
            }
            AgentOrder::SetMode(mode) => self.set(mode.clone()),
        }
    }
}
