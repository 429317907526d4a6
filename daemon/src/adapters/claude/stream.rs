//! Claude's remote protocol: `stream-json` with control requests, as `claude -p` speaks it.

use std::collections::VecDeque;

use delight_proto::agent::{
    Activity, AgentEvent, AgentOrder, Mode, PermissionAsk, RecordBody, TurnStatus, bounds,
};
use delight_proto::id::{ConversationId, SessionId};
use delight_proto::refusal::{Code, Refusal};
use serde::Deserialize;
use serde_json::{Value, json};

use super::effort::{self, Efforts};
use super::shapes::{Answer, CanUseTool, Line, Request, System, TurnResult};
use super::{decision, offers, records, tools};
use crate::adapters::codec::{Codec, Understood};
use crate::adapters::given::Given;
use crate::adapters::{Launch, derived_id, shown};

/// The id of the first request. Its answer says that Claude is ready.
const INITIALIZE: &str = "initialize";

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    session: SessionId,
    cwd: String,
    conversation: String,
    ready: bool,
    turn: Option<String>,
    /// As Claude last said.
    mode: Mode,
    efforts: Efforts,
    open: VecDeque<Open>,
    given: Given,
    /// Number of the next control request of ours.
    next: u32,
}

/// A request of Claude's that waits: what an answer needs of it.
#[derive(Debug)]
pub(super) struct Open {
    id: String,
    pub(super) input: Value,
    pub(super) suggestions: Vec<Value>,
}

impl Stream {
    /// For one generation.
    pub(super) fn new(launch: &Launch<'_>) -> Self {
        Self {
            session: launch.id,
            cwd: launch.spec.cwd.clone(),
            conversation: super::conversation(launch),
            ready: false,
            turn: launch.memory.turn.clone(),
            mode: Mode::default(),
            efforts: Efforts::default(),
            open: VecDeque::new(),
            given: Given::default(),
            next: 1,
        }
    }

    fn answered(&mut self, answer: &Answer, out: &mut Understood) {
        let failed = answer.subtype != "success";
        let reason = || answer.error.clone().unwrap_or_else(|| "no reason given".to_owned());
        match answer.request_id.split_once('-').map_or(answer.request_id.as_str(), |(what, _)| what) {
            INITIALIZE if failed => out.events.push(AgentEvent::Unable { refusal: unable(&reason()) }),
            INITIALIZE if !self.ready => {
                self.ready = true;
                out.events.extend(conversation_event(&self.conversation));
                self.efforts = Efforts::of(&answer.response);
                let permission_mode = text(&answer.response, "current_permission_mode");
                self.works(Mode { permission_mode, ..Mode::default() }, out);
                out.events.push(AgentEvent::Ready);
                out.events.push(AgentEvent::Activity { activity: Activity::Idle });
            }
            "model" | "mode" | "effort" if failed => {
                let message = format!("the {} was not changed: {}", named(&answer.request_id), reason());
                out.events.push(shown::record(None, RecordBody::Error { message, retrying: false }));
                // It was taken for what was asked.
                out.events.push(AgentEvent::Mode(self.mode.clone()));
            }
            "model" => {
                self.works(Mode { model: text(&answer.response, "model"), ..Mode::default() }, out);
            }
            "mode" => {
                self.works(Mode { permission_mode: text(&answer.response, "mode"), ..Mode::default() }, out);
            }
            "settings" => {
                self.mode.effort = effort::applied(&answer.response).or(self.mode.effort.take());
                out.events.push(AgentEvent::Mode(self.mode.clone()));
            }
            _ => {}
        }
    }

    /// Tells what changed of how it works.
    fn works(&mut self, mode: Mode, out: &mut Understood) {
        let news = mode.other_than(&self.mode);
        if !news.is_empty() {
            self.mode.learn(&news);
            out.events.push(AgentEvent::Mode(news));
        }
    }

    fn system(&mut self, system: System, out: &mut Understood) {
        match system.subtype.as_str() {
            // Comes with each turn.
            "init" => {
                if let Some(id) = system.session_id.filter(|id| *id != self.conversation) {
                    out.events.extend(conversation_event(&id));
                    self.conversation = id;
                }
                let (model, permission_mode) = (system.model, system.permission_mode);
                self.works(Mode { model, permission_mode, effort: None }, out);
                if self.turn.is_none()
                    && let Some(turn) = system.uuid
                {
                    self.turn = Some(turn.clone());
                    out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnStarted { turn }));
                }
            }
            "session_state_changed" => {
                let activity = match system.state.as_deref() {
                    Some("idle") => Activity::Idle,
                    Some("running") => Activity::Working,
                    Some("requires_action") => Activity::NeedsDecision,
                    _ => return,
                };
                // Every turn that started ends, also when its result could not be read.
                if activity == Activity::Idle {
                    self.turn_over(TurnStatus::Failed, out);
                }
                out.events.push(AgentEvent::Activity { activity });
            }
            "status" => {
                self.works(Mode { permission_mode: system.permission_mode, ..Mode::default() }, out);
            }
            "api_retry" => {
                let status = system.error_status.map(|n| format!(" (status {n})")).unwrap_or_default();
                let of = system.max_retries.map(|n| format!(" of {n}")).unwrap_or_default();
                let attempt = system.attempt.unwrap_or_default();
                let message = format!("the model did not answer{status}; try {attempt}{of}");
                out.events.push(shown::record(system.uuid, RecordBody::Error { message, retrying: true }));
            }
            _ => {}
        }
    }

    fn turn_over(&mut self, status: TurnStatus, out: &mut Understood) {
        if let Some(turn) = self.turn.take() {
            out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnEnded { turn, status }));
        }
    }

    fn result(&mut self, result: TurnResult, out: &mut Understood) {
        let aborted = result.terminal_reason.as_deref().is_some_and(|why| why.starts_with("aborted"));
        let words = result.result.filter(|text| !text.is_empty());
        let reason =
            || words.or_else(|| result.errors.first().cloned()).unwrap_or_else(|| "no reason given".into());
        if !self.ready && result.is_error {
            out.events.push(AgentEvent::Unable { refusal: unable(&reason()) });
            return;
        }
        if let Some(usage) = &result.usage {
            let window = result.model_usage.values().filter_map(|model| model.context_window).max();
            out.events.push(shown::record(result.uuid.clone(), records::usage(usage, window)));
        }
        let status = match (result.is_error, aborted) {
            (_, true) => TurnStatus::Cancelled,
            (true, false) => {
                let body = RecordBody::Error { message: reason(), retrying: false };
                out.events.push(shown::record(result.uuid, body));
                TurnStatus::Failed
            }
            (false, false) => TurnStatus::Completed,
        };
        self.turn_over(status, out);
    }

    fn asked(&mut self, line: &[u8], id: String, request: CanUseTool, out: &mut Understood) {
        let CanUseTool {
            tool_name: tool,
            input,
            tool_use_id,
            permission_suggestions,
            requires_user_interaction,
        } = request;
        let Ok(permission) = id.parse() else {
            out.events.push(shown::skipped(line, "a permission request with an unusable id"));
            out.reply.extend(control_error(&id, "the request's id cannot be used"));
            return;
        };
        let ask = PermissionAsk {
            id: permission,
            title: tools::title(&tool, &input),
            call: tool_use_id,
            command: tools::command(&tool, &input),
            paths: tools::paths(&tool, &input, &self.cwd),
            read_only: tools::reads_only(&tool),
            question: requires_user_interaction || tools::asks(&tool),
            input: input.clone(),
            tool,
        };
        if self.open.len() == bounds::PENDING {
            self.open.pop_front();
        }
        self.open.push_back(Open { id, input, suggestions: permission_suggestions });
        out.events.push(AgentEvent::Asked { ask });
    }

    /// A control request of ours. The number makes its id one of its own; `wrote` goes on behind the highest.
    fn control(&mut self, what: &str, request: &Value) -> Vec<u8> {
        let id = format!("{what}-{}", self.next);
        self.next += 1;
        one_line(&json!({"type": "control_request", "request_id": id, "request": request}))
    }
}

impl Codec for Stream {
    fn greeting(&mut self) -> Vec<u8> {
        one_line(
            &json!({"type": "control_request", "request_id": INITIALIZE, "request": {"subtype": "initialize"}}),
        )
    }

    fn line(&mut self, line: &[u8]) -> Understood {
        let mut out = Understood::default();
        match serde_json::from_slice(line) {
            Ok(Line::ControlResponse { response }) => self.answered(&response, &mut out),
            Ok(Line::ControlRequest { request_id, request: Request::CanUseTool(request) }) => {
                self.asked(line, request_id, request, &mut out);
            }
            Ok(Line::ControlRequest { request_id, request: Request::Other }) => {
                out.reply = control_error(&request_id, "delight does not serve this request");
            }
            Ok(Line::ControlCancelRequest { request_id }) => {
                self.open.retain(|open| open.id != request_id);
                out.events.extend(request_id.parse().ok().map(|id| AgentEvent::Withdrawn { id }));
            }
            Ok(Line::System(system)) => {
                let offers = (system.subtype == "init").then(|| offers::of(line));
                self.system(system, &mut out);
                out.events.extend(offers.map(|offers| match offers {
                    Ok(offers) => AgentEvent::Offers(offers),
                    Err(e) => shown::skipped(line, shown::not_understood(&e)),
                }));
            }
            Ok(Line::Assistant(said)) => {
                let records = records::of(said).into_iter();
                out.events.extend(records.map(|record| AgentEvent::Record { record }));
            }
            Ok(Line::User(said)) if said.is_replay => {}
            Ok(Line::User(said)) => {
                let records = records::tool_results(said).into_iter();
                out.events.extend(records.map(|record| AgentEvent::Record { record }));
            }
            Ok(Line::Result(result)) => self.result(result, &mut out),
            Ok(Line::Other) => {}
            Err(_) if line.trim_ascii().is_empty() => {}
            Err(e) => out.events.push(shown::skipped(line, shown::not_understood(&e))),
        }
        out
    }

    fn wrote(&mut self, line: &[u8]) {
        let Ok(written) = serde_json::from_slice::<Written>(line) else { return };
        match written.kind.as_str() {
            "user" => drop(written.uuid.map(|uuid| self.given.note(&uuid))),
            "control_response" => {
                if let Some(answered) = written.response {
                    self.given.note(&answered.request_id);
                    self.open.retain(|open| open.id != answered.request_id);
                }
            }
            "control_request" => {
                let number = written.request_id.and_then(|id| id.rsplit_once('-')?.1.parse::<u32>().ok());
                self.next = self.next.max(number.unwrap_or_default().saturating_add(1));
            }
            _ => {}
        }
    }

    fn order(&mut self, order: &AgentOrder) -> Result<Vec<u8>, Refusal> {
        Ok(match order {
            AgentOrder::Prompt { message } => {
                let uuid = derived_id::message(self.session, &message.local_id);
                if !self.given.note(&uuid) {
                    return Ok(Vec::new());
                }
                one_line(&json!({
                    "type": "user",
                    "message": {"role": "user", "content": message.text},
                    "parent_tool_use_id": null,
                    "session_id": "",
                    "uuid": uuid,
                }))
            }
            AgentOrder::Decide { ask, decision } => {
                let id = ask.id.as_str();
                if !self.given.note(id) {
                    return Ok(Vec::new());
                }
                let at = self.open.iter().position(|open| open.id == id);
                let open = at.and_then(|at| self.open.remove(at));
                let mut lines = one_line(&json!({
                    "type": "control_response",
                    "response": {
                        "subtype": "success",
                        "request_id": id,
                        "response": decision::answer(ask, decision, open.as_ref()),
                    },
                }));
                if let (false, Some(mode)) = (decision.allow, &decision.permission_mode) {
                    lines.extend(
                        self.control("mode", &json!({"subtype": "set_permission_mode", "mode": mode})),
                    );
                }
                lines
            }
            AgentOrder::Abort => self.control("interrupt", &json!({"subtype": "interrupt"})),
            AgentOrder::SetMode(Mode { model, permission_mode, effort }) => {
                let mut lines = Vec::new();
                if let Some(effort) = effort {
                    for (what, request) in self.efforts.set(effort)? {
                        lines.extend(self.control(what, &request));
                    }
                }
                if let Some(model) = model {
                    lines.extend(self.control("model", &json!({"subtype": "set_model", "model": model})));
                }
                if let Some(mode) = permission_mode {
                    lines.extend(
                        self.control("mode", &json!({"subtype": "set_permission_mode", "mode": mode})),
                    );
                }
                lines
            }
            AgentOrder::End => self.control("end", &json!({"subtype": "end_session"})),
        })
    }
}

/// What is looked at of a line of ours.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    response: Option<Answered>,
}

/// See [`Written`].
#[derive(Deserialize)]
struct Answered {
    request_id: String,
}

fn one_line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn control_error(id: &str, why: &str) -> Vec<u8> {
    one_line(&json!({
        "type": "control_response",
        "response": {"subtype": "error", "request_id": id, "error": why},
    }))
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn named(request_id: &str) -> &'static str {
    match request_id.split_once('-') {
        Some(("model", _)) => "model",
        Some(("effort", _)) => "effort",
        _ => "permission mode",
    }
}

fn conversation_event(id: &str) -> Option<AgentEvent> {
    ConversationId::try_from(id.to_owned()).ok().map(|id| AgentEvent::Conversation { id })
}

fn unable(reason: &str) -> Refusal {
    Refusal::new(Code::StartFailed, "Claude cannot serve this session", shown::title(reason))
        .fix("run `claude` in a terminal and see what it says; `/login` there logs in")
}
