//! The client's side of the Agent Client Protocol, for one conversation.

use delight_proto::agent::{Activity, AgentEvent, AgentOrder, Mode, PermissionAsk, RecordBody, TurnStatus};
use delight_proto::id::ConversationId;
use delight_proto::refusal::{Code, Refusal};
use serde_json::{Value, json};

use super::asking::{self, Asking};
use super::calls::{self, Calls};
use super::shapes::{Asked, Began, Initialized, Prompted, Update, Updated};
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
    model: Option<String>,
    mode: Option<String>,
    /// The conversation to go on with.
    resume: Option<String>,
    /// The conversation the agent is in.
    session: Option<String>,
    ready: bool,
    /// The agent tells an old conversation again: all of it is known.
    replaying: bool,
    /// The message it was given and has not answered: there is never more than one, because agents lose or mix a second.
    prompt: Option<String>,
    turn: Option<String>,
    words: Words,
    calls: Calls,
    window: Option<u64>,
    /// It was last told to wait for a decision.
    waits: bool,
    asking: Asking,
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
            model,
            mode,
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
            ("mode" | "model", Err(failure)) => {
                let message = format!("the {what} was not changed: {}", failure.message);
                out.events.push(shown::record(None, RecordBody::Error { message, retrying: false }));
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
        self.session = began.session_id.or_else(|| self.resume.clone());
        let id = self.session.clone().and_then(|id| ConversationId::try_from(id).ok());
        let Some(id) = id else {
            out.events.push(self.unable("it named its conversation in a way that cannot be kept"));
            return;
        };
        out.events.push(AgentEvent::Conversation { id });
        let model = began.models.and_then(|models| models.current_model_id);
        let mode = began.modes.and_then(|modes| modes.current_mode_id);
        // The owner's wishes go first, so that nothing runs under another mode.
        if let Some(wanted) = self.mode.clone().filter(|wanted| Some(wanted) != mode.as_ref()) {
            out.reply.extend(self.set("mode", &wanted));
        }
        if let Some(wanted) = self.model.clone().filter(|wanted| Some(wanted) != model.as_ref()) {
            out.reply.extend(self.set("model", &wanted));
        }
        if model.is_some() || mode.is_some() {
            out.events.push(AgentEvent::Mode(Mode { model, permission_mode: mode, effort: None }));
        }
        if !self.ready {
            self.ready = true;
            out.events.push(AgentEvent::Ready);
            out.events.push(AgentEvent::Activity { activity: Activity::Idle });
        }
    }

    /// Sets the mode or the model. The number makes the request's id one of its own.
    fn set(&mut self, what: &str, value: &str) -> Vec<u8> {
        let id = format!("{what} {}", self.next);
        self.next += 1;
        let params = json!({"sessionId": self.session(), format!("{what}Id"): value});
        json_rpc::request(&id, &format!("session/set_{what}"), &params)
    }

    fn prompted(
        &mut self,
        which: &str,
        result: Result<Value, Failure>,
        out: &mut Understood,
    ) -> Result<(), serde_json::Error> {
        if self.turn.is_none() {
            self.working(which, out);
        }
        self.waits = false;
        self.words.tell(&mut out.events);
        self.calls.over(&mut out.events);
        let status = match result {
            Ok(result) => {
                let prompted: Prompted = serde_json::from_value(result)?;
                let quota = prompted.meta.and_then(|meta| meta.quota).and_then(|quota| quota.token_count);
                if let Some(tokens) = prompted.usage.or(quota) {
                    let body = RecordBody::Usage {
                        input_tokens: tokens.input_tokens.saturating_sub(tokens.cached_read_tokens),
                        output_tokens: tokens.output_tokens,
                        cache_written_tokens: tokens.cached_write_tokens,
                        cache_read_tokens: tokens.cached_read_tokens,
                        context_window: self.window,
                    };
                    out.events.push(shown::record(Some(format!("usage {which}")), body));
                }
                if prompted.stop_reason == "cancelled" {
                    TurnStatus::Cancelled
                } else {
                    TurnStatus::Completed
                }
            }
            Err(failure) => {
                let body = RecordBody::Error { message: failure.message, retrying: false };
                out.events.push(shown::record(Some(format!("error {which}")), body));
                TurnStatus::Failed
            }
        };
        self.asking.over(&mut out.events);
        if let Some(turn) = self.turn.take() {
            out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnEnded { turn, status }));
        }
        if self.prompt.as_deref() == Some(which) {
            self.prompt = None;
        }
        out.events.push(AgentEvent::Activity { activity: Activity::Idle });
        Ok(())
    }

    /// A sign of work: the turn of the message that was given has begun.
    fn working(&mut self, message: &str, out: &mut Understood) {
        if self.turn.is_none() {
            let turn = message.to_owned();
            self.turn = Some(turn.clone());
            out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnStarted { turn }));
            out.events.push(AgentEvent::Activity { activity: Activity::Working });
        } else if self.waits && self.asking.is_empty() {
            out.events.push(AgentEvent::Activity { activity: Activity::Working });
        }
        self.waits &= !self.asking.is_empty();
    }

    fn updated(&mut self, update: Update, out: &mut Understood) {
        match update {
            Update::UsageUpdate { size } => self.window = size.or(self.window),
            Update::CurrentModeUpdate { current_mode_id } => {
                if current_mode_id.is_some() {
                    let mode = Mode { permission_mode: current_mode_id, ..Mode::default() };
                    out.events.push(AgentEvent::Mode(mode));
                }
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
                    Update::CurrentModeUpdate { .. } | Update::UsageUpdate { .. } | Update::Other => {}
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
            Some(("mode" | "model", number)) => {
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
            AgentOrder::SetMode(Mode { effort: Some(_), .. }) => {
                let why = format!("{} knows no efforts", self.kind);
                Err(Refusal::new(Code::BadParams, "the mode was not set", why).fix("leave the effort out"))
            }
            AgentOrder::SetMode(Mode { model, permission_mode, effort: None }) => {
                let mut lines = Vec::new();
                if let Some(mode) = permission_mode {
                    lines.extend(self.set("mode", mode));
                }
                if let Some(model) = model {
                    lines.extend(self.set("model", model));
                }
                Ok(lines)
            }
        }
    }
}
