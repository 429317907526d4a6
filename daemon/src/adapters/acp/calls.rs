//! The tools an ACP agent uses: told piece by piece, shown whole.

use std::collections::VecDeque;

use delight_proto::agent::{AgentEvent, RecordBody};
use serde_json::{Value, json};

use super::shapes::ToolCall;
use crate::adapters::shown;

/// Uses that are open at once. More are forgotten, the oldest first: their ends are told all the same.
const OPEN: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Calls(VecDeque<Call>);

#[derive(Debug)]
struct Call {
    known: ToolCall,
    shown: bool,
}

impl Calls {
    /// Takes in what is said of a use; tells it once all that matters is known, and its end.
    pub(super) fn told(&mut self, said: ToolCall, events: &mut Vec<AgentEvent>) {
        let status = said.status.clone();
        let id = said.tool_call_id.clone();
        self.merge(said);
        match status.as_deref() {
            Some("in_progress") => self.show(&id, events),
            Some("completed") => self.end(&id, false, events),
            Some("failed") => self.end(&id, true, events),
            _ => {}
        }
    }

    /// It is asked for: all that is known of it, and it is told now.
    pub(super) fn asked(&mut self, said: ToolCall, events: &mut Vec<AgentEvent>) -> ToolCall {
        let id = said.tool_call_id.clone();
        self.merge(said);
        self.show(&id, events);
        let known = self.0.iter().find(|call| call.known.tool_call_id == id).map(|call| call.known.clone());
        known.unwrap_or_default()
    }

    /// The turn is over: what is still open will not end any more.
    pub(super) fn over(&mut self, events: &mut Vec<AgentEvent>) {
        let ids: Vec<String> = self.0.iter().map(|call| call.known.tool_call_id.clone()).collect();
        ids.iter().for_each(|id| self.end(id, true, events));
    }

    fn merge(&mut self, said: ToolCall) {
        let Some(call) = self.0.iter_mut().find(|call| call.known.tool_call_id == said.tool_call_id) else {
            if self.0.len() == OPEN {
                self.0.pop_front();
            }
            self.0.push_back(Call { known: said, shown: false });
            return;
        };
        let ToolCall {
            tool_call_id: _,
            name,
            title,
            kind,
            status,
            raw_input,
            raw_output,
            content,
            locations,
        } = said;
        let known = &mut call.known;
        fn newer<T>(known: &mut Option<T>, said: Option<T>) {
            if said.is_some() {
                *known = said;
            }
        }
        newer(&mut known.name, name);
        newer(&mut known.title, title);
        newer(&mut known.kind, kind);
        newer(&mut known.status, status);
        newer(&mut known.raw_input, raw_input);
        newer(&mut known.raw_output, raw_output);
        newer(&mut known.content, content);
        newer(&mut known.locations, locations);
    }

    fn show(&mut self, id: &str, events: &mut Vec<AgentEvent>) {
        let Some(call) = self.0.iter_mut().find(|call| call.known.tool_call_id == id && !call.shown) else {
            return;
        };
        call.shown = true;
        let known = &call.known;
        let body = RecordBody::ToolStarted {
            call: id.to_owned(),
            tool: tool(known),
            title: title(known),
            input: input(known),
        };
        events.push(shown::record(Some(id.to_owned()), body));
    }

    fn end(&mut self, id: &str, failed: bool, events: &mut Vec<AgentEvent>) {
        self.show(id, events);
        let at = self.0.iter().position(|call| call.known.tool_call_id == id);
        let Some(call) = at.and_then(|at| self.0.remove(at)) else { return };
        let output = output(&call.known).filter(|text| !text.is_empty()).map(|text| shown::output(&text));
        let body = RecordBody::ToolEnded { call: id.to_owned(), failed, output };
        events.push(shown::record(Some(id.to_owned()), body));
    }
}

/// The tool: by its name, else by what kind of thing it does.
pub(super) fn tool(call: &ToolCall) -> String {
    let name = call.name.as_deref().or(call.kind.as_deref()).filter(|name| !name.is_empty());
    name.unwrap_or("other").to_owned()
}

/// A line for people.
pub(super) fn title(call: &ToolCall) -> String {
    shown::title(call.title.as_deref().filter(|title| !title.is_empty()).unwrap_or("a tool"))
}

/// The shell command it runs: its input's, else (agents that send no input) the title of something to execute.
pub(super) fn command(call: &ToolCall) -> Option<String> {
    let input = call.raw_input.as_ref().and_then(|input| match &input["command"] {
        Value::String(command) => Some(command.clone()),
        Value::Array(words) => {
            let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
            words.map(|words| words.join(" "))
        }
        _ => None,
    });
    let titled =
        || call.title.clone().filter(|title| call.kind.as_deref() == Some("execute") && !title.is_empty());
    input.or_else(titled)
}

/// The paths it names. What it does not name is not known: a command's are left out.
pub(super) fn paths(call: &ToolCall) -> Vec<String> {
    if call.kind.as_deref() == Some("execute") || command(call).is_some() {
        return Vec::new();
    }
    let located = call.locations.iter().flatten().map(|location| location.path.clone());
    let changed = call.content.iter().flatten().filter(|part| part["type"] == "diff");
    let mut paths: Vec<String> =
        located.chain(changed.filter_map(|part| part["path"].as_str().map(str::to_owned))).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.retain(|path| path.starts_with('/'));
    paths
}

/// The input, else what it shows of its intent.
pub(super) fn input(call: &ToolCall) -> Value {
    match &call.raw_input {
        Some(Value::Object(members)) if members.is_empty() => json!({"content": call.content}),
        Some(input) => input.clone(),
        None => json!({"content": call.content}),
    }
}

fn output(call: &ToolCall) -> Option<String> {
    let raw = call.raw_output.as_ref().and_then(|output| match output {
        Value::String(text) => Some(text.clone()),
        other => ["output", "formatted_output", "stdout"]
            .iter()
            .find_map(|name| Some(other[*name].as_str()?.to_owned())),
    });
    let texts = || {
        let parts = call.content.iter().flatten().filter_map(|part| part["content"]["text"].as_str());
        Some(parts.collect::<Vec<_>>().join("\n"))
    };
    raw.or_else(texts)
}
