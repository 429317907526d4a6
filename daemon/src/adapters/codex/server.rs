//! Codex's remote protocol: `codex app-server`, a line a message.

use std::collections::VecDeque;

use delight_proto::agent::{self, Activity, AgentEvent, AgentOrder, RecordBody};
use delight_proto::id::ConversationId;
use delight_proto::refusal::{Code, Refusal};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::approvals::{answer, answered_mark};
use super::elsewhere::Elsewhere;
use super::modes::{self, Mode};
use super::shapes::{About, Started};
use crate::adapters::codec::{Codec, Understood};
use crate::adapters::given::Given;
use crate::adapters::json_rpc::{self, Failure, Id, Incoming};
use crate::adapters::{Launch, shown};

/// What our messages' ids begin with, as other clients of the server see them.
pub(super) const OURS: &str = "delight:";

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    cwd: String,
    /// Whether others may be clients of the same server.
    pub(super) shared: bool,
    pub(super) model: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) effort: Option<String>,
    /// Whether any of them was chosen since the last message, with which they go.
    pub(super) chosen: bool,
    /// How the thread works, as last told.
    pub(super) told: agent::Mode,
    /// The conversation to go on with.
    resume: Option<String>,
    /// The conversation, once the server has named it.
    pub(super) thread: Option<String>,
    /// Conversations it is not in.
    pub(super) elsewhere: Elsewhere,
    pub(super) ready: bool,
    pub(super) turn: Option<String>,
    pub(super) warned: Option<String>,
    pub(super) changes: VecDeque<Value>,
    pub(super) open: VecDeque<(Id, String)>,
    given: Given,
    /// Number of the next request that has no name of its own.
    next: u32,
}

impl Server {
    /// For one generation, with the model and mode it begins with.
    pub(super) fn new(launch: &Launch<'_>, model: Option<String>, mode: Option<Mode>, shared: bool) -> Self {
        Self {
            cwd: launch.spec.cwd.clone(),
            shared,
            chosen: false,
            told: agent::Mode::default(),
            model,
            mode,
            effort: launch.memory.mode.effort.clone(),
            resume: launch.memory.conversation.as_ref().map(|id| id.as_str().to_owned()),
            thread: None,
            elsewhere: Elsewhere::default(),
            ready: false,
            turn: launch.memory.turn.clone(),
            warned: None,
            changes: VecDeque::new(),
            open: VecDeque::new(),
            given: Given::default(),
            next: 1,
        }
    }

    /// The thread that is talked about: the server's word, else (its beginning was not kept) what the launch said.
    pub(super) fn thread(&self) -> Option<&str> {
        self.thread.as_deref().or(self.resume.as_deref())
    }

    fn begin_thread(&self) -> Vec<u8> {
        let mut params = json!({"cwd": self.cwd});
        if let Some(model) = &self.model {
            params["model"] = model.clone().into();
        }
        if let Some(mode) = self.mode {
            params["approvalPolicy"] = mode.approval.into();
            params["sandbox"] = mode.sandbox.into();
        }
        match &self.resume {
            Some(thread) => {
                params["threadId"] = thread.clone().into();
                json_rpc::request("resume", "thread/resume", &params)
            }
            None => json_rpc::request("start", "thread/start", &params),
        }
    }

    fn answered(&mut self, id: &str, result: Result<Value, Failure>, out: &mut Understood) {
        let (what, of) = id.split_once(' ').unwrap_or((id, ""));
        match (what, result) {
            ("initialize", Ok(_)) => {
                out.reply = json_rpc::notification("initialized", &json!({}));
                out.reply.extend(self.begin_thread());
            }
            ("start" | "resume", Ok(result)) => match serde_json::from_value::<Started>(result) {
                Ok(started) => {
                    self.began(started, out);
                    // A conversation without a turn is not on disk, and nobody could join it. One with a name is.
                    match self.thread() {
                        Some(thread) if self.shared && what == "start" => out.reply = self.name(thread),
                        _ => self.now_ready(out),
                    }
                }
                Err(_) => out.events.push(unable("its answer has no thread")),
            },
            // Without a name others can join after the first turn: no reason not to begin.
            ("name", _) => self.now_ready(out),
            ("look", result) => self.looked(of, result, out),
            ("follow", result) => self.joined(of, result, "a new conversation was begun at the desktop", out),
            ("rejoin", result) => {
                self.joined(of, result, "the desktop went on with another conversation", out);
            }
            // A conversation that never had a turn was never written: there is nothing to go on with, and nothing lost.
            ("resume", Err(failure)) if failure.message.contains("no rollout found") => {
                let message = format!("{}: a new conversation begins", failure.message);
                out.events.push(shown::record(None, RecordBody::Notice { message }));
                self.resume = None;
                out.reply = self.begin_thread();
            }
            ("initialize" | "start" | "resume", Err(failure)) => out.events.push(unable(&failure.message)),
            ("prompt", Err(failure)) => {
                let message = format!("the message was not taken: {}", failure.message);
                out.events.push(shown::record(None, RecordBody::Error { message, retrying: false }));
            }
            _ => {}
        }
    }

    pub(super) fn began(&mut self, started: Started, out: &mut Understood) {
        let id = started.thread.id;
        out.events
            .extend(ConversationId::try_from(id.clone()).ok().map(|id| AgentEvent::Conversation { id }));
        self.thread = Some(id);
        let permission_mode = self.mode.map(|mode| mode.name.to_owned());
        // What was chosen goes with the next message, whatever the thread begins with.
        let effort = self.effort.clone().or(started.reasoning_effort);
        self.told = agent::Mode { model: started.model, permission_mode, effort };
        if !self.told.is_empty() {
            out.events.push(AgentEvent::Mode(self.told.clone()));
        }
    }

    fn now_ready(&mut self, out: &mut Understood) {
        if !self.ready {
            self.ready = true;
            out.events.push(AgentEvent::Ready);
            out.events.push(AgentEvent::Activity { activity: Activity::Idle });
        }
    }

    /// Gives a conversation a name: that of its directory.
    pub(super) fn name(&self, thread: &str) -> Vec<u8> {
        let name = self.cwd.rsplit('/').find(|word| !word.is_empty()).unwrap_or("delight");
        json_rpc::request(
            &format!("name {thread}"),
            "thread/name/set",
            &json!({"threadId": thread, "name": name}),
        )
    }

    fn number(&mut self, what: &str) -> String {
        let id = format!("{what} {}", self.next);
        self.next += 1;
        id
    }
}

/// Reads parameters.
///
/// # Errors
/// They have another shape.
pub(super) fn shape<T: DeserializeOwned>(params: Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(params)
}

impl Codec for Server {
    fn greeting(&mut self) -> Vec<u8> {
        let client = json!({"name": "delight", "title": "delight", "version": env!("CARGO_PKG_VERSION")});
        let capabilities = json!({"experimentalApi": true, "requestAttestation": false});
        let params = json!({"clientInfo": client, "capabilities": capabilities});
        json_rpc::request("initialize", "initialize", &params)
    }

    fn line(&mut self, line: &[u8]) -> Understood {
        let mut out = Understood::default();
        let done = match json_rpc::read(line) {
            Ok(Incoming::Response { id, result }) => {
                self.answered(&id, result, &mut out);
                Ok(())
            }
            Ok(Incoming::Notification { method, params }) => {
                let about: About = serde_json::from_value(params.clone()).unwrap_or_default();
                // A request that is open may be one of a conversation that was left.
                let ours = about.thread_id.is_none()
                    || about.thread_id.as_deref() == self.thread()
                    || method == "serverRequest/resolved";
                match about.thread_id {
                    Some(thread) if !ours && self.shared && method == "thread/status/changed" => {
                        self.does_elsewhere(&thread, params, &mut out)
                    }
                    _ if ours => self.told(&method, params, &mut out),
                    _ => Ok(()),
                }
            }
            Ok(Incoming::Request { id, method, params }) => {
                let asked = self.asked(&id, &method, params, &mut out);
                if asked.is_err() {
                    out.reply = json_rpc::not_served(&id, "a request of that shape");
                }
                asked
            }
            Err(_) if line.trim_ascii().is_empty() => Ok(()),
            Err(what) => {
                out.events.push(shown::skipped(line, what));
                Ok(())
            }
        };
        if let Err(e) = done {
            out.events.push(shown::skipped(line, shown::not_understood(&e)));
        }
        out
    }

    fn wrote(&mut self, line: &[u8]) {
        let Some(written) = json_rpc::written(line) else { return };
        if let Some(answered) = written.answered {
            self.open.retain(|(id, _)| *id != answered);
            // The permission's id holds more than the request's: what was answered is found by its beginning.
            self.given.note(&answered_mark(&answered));
        }
        if let Some(request) = written.request {
            self.given.note(&request);
            let number = request.rsplit_once(' ').and_then(|(_, number)| number.parse::<u32>().ok());
            if request.starts_with("interrupt ") {
                self.next = self.next.max(number.unwrap_or_default().saturating_add(1));
            }
        }
    }

    fn order(&mut self, order: &AgentOrder) -> Result<Vec<u8>, Refusal> {
        match order {
            AgentOrder::Prompt { message } => {
                let id = format!("prompt {}", message.local_id);
                let Some(thread) = self.thread() else { return Err(not_ready()) };
                let text = json!({"type": "text", "text": message.text, "text_elements": []});
                let ours = format!("{OURS}{}", message.local_id);
                let mut params = json!({"threadId": thread, "clientUserMessageId": ours, "input": [text]});
                if let Some(model) = &self.model {
                    params["model"] = model.clone().into();
                }
                if let Some(mode) = self.mode {
                    params["approvalPolicy"] = mode.approval.into();
                    params["sandboxPolicy"] = mode.sandbox_policy();
                }
                if let Some(effort) = &self.effort {
                    params["effort"] = effort.clone().into();
                }
                self.chosen = false;
                Ok(if self.given.note(&id) {
                    json_rpc::request(&id, "turn/start", &params)
                } else {
                    Vec::new()
                })
            }
            AgentOrder::Decide { ask, decision } => {
                let Some(id) = json_rpc::request_id(ask.id.as_str()) else {
                    let why = format!("{} is no request of Codex's", ask.id);
                    return Err(Refusal::new(Code::NotFound, "the decision cannot be given", why));
                };
                if !self.given.note(&answered_mark(&id)) {
                    return Ok(Vec::new());
                }
                self.open.retain(|(open, _)| *open != id);
                Ok(json_rpc::response(&id, &answer(ask, decision)))
            }
            // Nothing runs: nothing to stop.
            AgentOrder::Abort | AgentOrder::End => {
                match (self.thread().map(str::to_owned), self.turn.clone()) {
                    (Some(thread), Some(turn)) => {
                        let id = self.number("interrupt");
                        let params = json!({"threadId": thread, "turnId": turn});
                        Ok(json_rpc::request(&id, "turn/interrupt", &params))
                    }
                    _ => Ok(Vec::new()),
                }
            }
            // All of it goes with the next turn, and stays.
            AgentOrder::SetMode(agent::Mode { model, permission_mode, effort }) => {
                if let Some(name) = permission_mode {
                    let Some(mode) = modes::of(name) else {
                        let why = format!("Codex has no mode {name:?}");
                        return Err(Refusal::new(
                            Code::BadParams,
                            "the permission mode was not changed",
                            why,
                        )
                        .fix(format!("choose one of {}", modes::names())));
                    };
                    self.mode = Some(mode);
                }
                if model.is_some() {
                    self.model.clone_from(model);
                }
                if effort.is_some() {
                    self.effort.clone_from(effort);
                }
                self.chosen = true;
                Ok(Vec::new())
            }
        }
    }
}

fn not_ready() -> Refusal {
    Refusal::new(Code::Busy, "the message cannot be given yet", "Codex has not begun its conversation")
}

fn unable(reason: &str) -> AgentEvent {
    let refusal = Refusal::new(Code::StartFailed, "Codex cannot serve this session", shown::title(reason))
        .fix("run `codex` in a terminal and see what it says; `codex login` logs in");
    AgentEvent::Unable { refusal }
}
