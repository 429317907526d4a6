//! Codex's remote protocol: `codex app-server` on its standard streams.

use std::collections::VecDeque;

use delight_proto::agent::{
    Activity, AgentEvent, AgentOrder, Decision, PermissionAsk, RecordBody, Scope, TurnStatus, bounds,
};
use delight_proto::id::ConversationId;
use delight_proto::refusal::{Code, Refusal};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::items::{self, Stage};
use super::modes::{self, Mode};
use super::shapes::{
    About, ChangeApproval, CommandApproval, OfItem, OfStatus, OfTrouble, OfTurn, OfUsage, Resolved, Started,
    UserInput,
};
use crate::adapters::codec::{Codec, Understood};
use crate::adapters::given::Given;
use crate::adapters::json_rpc::{self, Failure, Id, Incoming};
use crate::adapters::{Launch, shown};

/// Changes of files remembered until their approval is asked for, which names them by their item alone.
const CHANGES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    cwd: String,
    model: Option<String>,
    mode: Option<Mode>,
    /// The conversation to go on with.
    resume: Option<String>,
    /// The conversation, once the server has named it.
    thread: Option<String>,
    ready: bool,
    turn: Option<String>,
    warned: Option<String>,
    changes: VecDeque<Value>,
    open: VecDeque<(Id, String)>,
    given: Given,
    /// Number of the next request that has no name of its own.
    next: u32,
}

impl Server {
    /// For one generation, with the model and mode it begins with.
    pub(super) fn new(launch: &Launch<'_>, model: Option<String>, mode: Option<Mode>) -> Self {
        Self {
            cwd: launch.spec.cwd.clone(),
            model,
            mode,
            resume: launch.memory.conversation.as_ref().map(|id| id.as_str().to_owned()),
            thread: None,
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
    fn thread(&self) -> Option<&str> {
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
        let what = id.split_once(' ').map_or(id, |(what, _)| what);
        match (what, result) {
            ("initialize", Ok(_)) => {
                out.reply = json_rpc::notification("initialized", &json!({}));
                out.reply.extend(self.begin_thread());
            }
            ("start" | "resume", Ok(result)) => match serde_json::from_value::<Started>(result) {
                Ok(started) => self.began(started, out),
                Err(_) => out.events.push(unable("its answer has no thread")),
            },
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

    fn began(&mut self, started: Started, out: &mut Understood) {
        let id = started.thread.id;
        out.events
            .extend(ConversationId::try_from(id.clone()).ok().map(|id| AgentEvent::Conversation { id }));
        self.thread = Some(id);
        let permission_mode = self.mode.map(|mode| mode.name.to_owned());
        if started.model.is_some() || permission_mode.is_some() {
            out.events.push(AgentEvent::Mode { model: started.model, permission_mode });
        }
        if !self.ready {
            self.ready = true;
            out.events.push(AgentEvent::Ready);
            out.events.push(AgentEvent::Activity { activity: Activity::Idle });
        }
    }

    /// A notification of our thread.
    fn told(&mut self, method: &str, params: Value, out: &mut Understood) -> Result<(), serde_json::Error> {
        match method {
            "turn/started" => {
                let turn = shape::<OfTurn>(params)?.turn.id;
                // Every turn ends, also one whose end could not be read. (A restarted daemon knows the present one already.)
                if self.turn.as_ref() != Some(&turn) {
                    self.turn_over(TurnStatus::Failed, None, out);
                }
                self.turn = Some(turn.clone());
                out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnStarted { turn }));
                out.events.push(AgentEvent::Activity { activity: Activity::Working });
            }
            "turn/completed" => {
                let turn = shape::<OfTurn>(params)?.turn;
                let status = match turn.status.as_str() {
                    "completed" => TurnStatus::Completed,
                    "interrupted" => TurnStatus::Cancelled,
                    _ => TurnStatus::Failed,
                };
                if let (TurnStatus::Failed, Some(trouble)) = (status, turn.error) {
                    let body = RecordBody::Error { message: trouble.message, retrying: false };
                    out.events.push(shown::record(Some(turn.id.clone()), body));
                }
                self.turn_over(status, Some(turn.id), out);
                out.events.push(AgentEvent::Activity { activity: Activity::Idle });
            }
            "thread/status/changed" => {
                let status = shape::<OfStatus>(params)?.status;
                let waits = status.active_flags.iter().any(|flag| flag.starts_with("waitingOn"));
                let activity = match status.kind.as_str() {
                    "idle" => Activity::Idle,
                    "active" if waits => Activity::NeedsDecision,
                    "active" => Activity::Working,
                    _ => return Ok(()),
                };
                out.events.push(AgentEvent::Activity { activity });
            }
            "item/started" | "item/completed" => {
                let item = shape::<OfItem>(params)?.item;
                let stage = if method == "item/started" { Stage::Started } else { Stage::Completed };
                out.events.extend(items::record(&item, stage).map(|record| AgentEvent::Record { record }));
                if stage == Stage::Started && item["type"] == "fileChange" {
                    if self.changes.len() == CHANGES {
                        self.changes.pop_front();
                    }
                    self.changes.push_back(item);
                }
            }
            "thread/tokenUsage/updated" => {
                let usage = shape::<OfUsage>(params)?.token_usage;
                let body = items::usage(&usage.last, usage.model_context_window);
                out.events.push(shown::record(None, body));
            }
            "error" => {
                let OfTrouble { error, will_retry } = shape(params)?;
                // What is not tried again is told once more as the turn's end.
                if will_retry {
                    let body = RecordBody::Error { message: error.message, retrying: true };
                    out.events.push(shown::record(None, body));
                }
            }
            "warning" => {
                let message = params["message"].as_str().map(str::to_owned);
                // The same with every turn is said once.
                if let Some(message) = message.filter(|message| self.warned.as_ref() != Some(message)) {
                    self.warned = Some(message.clone());
                    out.events.push(shown::record(None, RecordBody::Notice { message }));
                }
            }
            "serverRequest/resolved" => {
                let resolved = shape::<Resolved>(params)?.request_id;
                if let Some(at) = self.open.iter().position(|(id, _)| *id == resolved)
                    && let Some((_, name)) = self.open.remove(at)
                {
                    out.events.extend(name.parse().ok().map(|id| AgentEvent::Withdrawn { id }));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn turn_over(&mut self, status: TurnStatus, named: Option<String>, out: &mut Understood) {
        let open = self.turn.take();
        if let Some(turn) = named.or(open) {
            out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnEnded { turn, status }));
        }
    }

    /// A request of the server's.
    fn asked(
        &mut self,
        id: &Id,
        method: &str,
        params: Value,
        out: &mut Understood,
    ) -> Result<(), serde_json::Error> {
        let (turn, ask) = match method {
            "item/commandExecution/requestApproval" => {
                let asked: CommandApproval = shape(params)?;
                let actions = asked.command_actions.unwrap_or_default();
                let command = match &actions[..] {
                    [one] if !one.command.is_empty() => one.command.clone(),
                    _ => items::without_shell(asked.command.as_deref().unwrap_or_default()),
                };
                let mut input = json!({"command": command, "cwd": asked.cwd});
                if let Some(reason) = asked.reason {
                    input["reason"] = reason.into();
                }
                (
                    asked.turn_id,
                    Asked {
                        tool: "shell",
                        title: command.clone(),
                        input,
                        call: asked.item_id,
                        command: Some(command),
                        ..Asked::default()
                    },
                )
            }
            "item/fileChange/requestApproval" => {
                let asked: ChangeApproval = shape(params)?;
                let known = |item: &&Value| item["id"].as_str() == asked.item_id.as_deref();
                let item = self.changes.iter().find(known).cloned().unwrap_or_default();
                let mut paths = items::changed_paths(&item);
                paths.extend(asked.grant_root);
                let title = format!("patch {}", paths.join(", "));
                let input = json!({"changes": item["changes"], "reason": asked.reason});
                (
                    asked.turn_id,
                    Asked {
                        tool: "apply_patch",
                        title,
                        input,
                        call: asked.item_id,
                        paths,
                        ..Asked::default()
                    },
                )
            }
            "item/tool/requestUserInput" => {
                let asked: UserInput = shape(params)?;
                let first = asked.questions.first().and_then(|question| question["question"].as_str());
                let title = first.unwrap_or("a question").to_owned();
                let input = json!({"questions": asked.questions});
                (
                    asked.turn_id,
                    Asked {
                        tool: "request_user_input",
                        title,
                        input,
                        call: asked.item_id,
                        question: true,
                        ..Asked::default()
                    },
                )
            }
            _ => {
                out.reply = json_rpc::not_served(id, method);
                return Ok(());
            }
        };
        let name = json_rpc::permission_id(id, &turn);
        let Some((name, permission)) = name.and_then(|name| Some((name.clone(), name.parse().ok()?))) else {
            out.reply = json_rpc::not_served(id, "a request with such an id");
            return Ok(());
        };
        if self.open.len() == bounds::PENDING {
            self.open.pop_front();
        }
        self.open.push_back((id.clone(), name));
        let Asked { tool, title, input, call, command, paths, question } = ask;
        let ask = PermissionAsk {
            id: permission,
            tool: tool.to_owned(),
            title: shown::title(&title),
            input,
            call,
            command: command.filter(|command| !command.is_empty()),
            paths: paths.into_iter().filter(|path| path.starts_with('/')).collect(),
            read_only: false,
            question,
        };
        out.events.push(AgentEvent::Asked { ask });
        Ok(())
    }

    fn number(&mut self, what: &str) -> String {
        let id = format!("{what} {}", self.next);
        self.next += 1;
        id
    }
}

/// What differs between the requests of the server.
#[derive(Default)]
struct Asked {
    tool: &'static str,
    title: String,
    input: Value,
    call: Option<String>,
    command: Option<String>,
    paths: Vec<String>,
    question: bool,
}

fn shape<T: DeserializeOwned>(params: Value) -> Result<T, serde_json::Error> {
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
                let ours = about.thread_id.is_none() || about.thread_id.as_deref() == self.thread();
                if ours { self.told(&method, params, &mut out) } else { Ok(()) }
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
                let mut params = json!({"threadId": thread, "input": [text]});
                if let Some(model) = &self.model {
                    params["model"] = model.clone().into();
                }
                if let Some(mode) = self.mode {
                    params["approvalPolicy"] = mode.approval.into();
                    params["sandboxPolicy"] = mode.sandbox_policy();
                }
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
            // Both go with the next turn, and stay.
            AgentOrder::SetMode { model, permission_mode } => {
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
                Ok(Vec::new())
            }
        }
    }
}

fn answered_mark(id: &Id) -> String {
    match id {
        Id::Number(number) => format!("answer {number}"),
        Id::Text(text) => format!("answer {text:?}"),
    }
}

/// What Codex is answered. It has no room for a reason.
fn answer(ask: &PermissionAsk, decision: &Decision) -> Value {
    if ask.question {
        let answers = decision.answers.clone().filter(|_| decision.allow).unwrap_or_else(|| json!({}));
        return json!({"answers": answers});
    }
    let word = match (decision.allow, decision.scope) {
        (true, Scope::Once) => "accept",
        (true, Scope::Session) => "acceptForSession",
        (false, _) => "decline",
    };
    json!({"decision": word})
}

fn not_ready() -> Refusal {
    Refusal::new(Code::Busy, "the message cannot be given yet", "Codex has not begun its conversation")
}

fn unable(reason: &str) -> AgentEvent {
    let refusal = Refusal::new(Code::StartFailed, "Codex cannot serve this session", shown::title(reason))
        .fix("run `codex` in a terminal and see what it says; `codex login` logs in");
    AgentEvent::Unable { refusal }
}
