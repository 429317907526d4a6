//! Codex's rollout file, line by line, while its own terminal program writes it.

use delight_proto::agent::{Activity, AgentEvent, RecordBody, TurnStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::items::{self, Stage};
use super::shapes::Tokens;
use crate::adapters::shown;

/// A line.
#[derive(Debug, Deserialize)]
struct Entry {
    timestamp: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: Value,
}

/// What a line means, and when it was written (seconds since 1970).
pub(super) struct Told {
    pub(super) at: Option<i64>,
    pub(super) events: Vec<AgentEvent>,
}

/// Reads a line.
pub(super) fn line(line: &[u8]) -> Told {
    if line.trim_ascii().is_empty() {
        return Told { at: None, events: Vec::new() };
    }
    match serde_json::from_slice::<Entry>(line) {
        Ok(entry) => {
            let at = entry.timestamp.as_deref().and_then(seconds);
            Told { at, events: told(&entry) }
        }
        Err(e) => Told { at: None, events: vec![shown::skipped(line, shown::not_understood(&e))] },
    }
}

fn told(entry: &Entry) -> Vec<AgentEvent> {
    let payload = &entry.payload;
    let turn = || payload["turn_id"].as_str().unwrap_or_default().to_owned();
    let kind = payload["type"].as_str().unwrap_or_default();
    match (entry.kind.as_str(), kind) {
        ("event_msg", "task_started") => {
            let turn = turn();
            let started = shown::record(Some(turn.clone()), RecordBody::TurnStarted { turn });
            vec![started, AgentEvent::Activity { activity: Activity::Working }]
        }
        ("event_msg", "task_complete" | "turn_aborted") => {
            let status = if kind == "task_complete" { TurnStatus::Completed } else { TurnStatus::Cancelled };
            let turn = turn();
            let ended = shown::record(Some(turn.clone()), RecordBody::TurnEnded { turn, status });
            vec![ended, AgentEvent::Activity { activity: Activity::Idle }]
        }
        ("event_msg", "error") => {
            let message = payload["message"].as_str().unwrap_or("an error").to_owned();
            vec![shown::record(None, RecordBody::Error { message, retrying: false })]
        }
        ("event_msg", "item_completed") => {
            let item = &payload["item"];
            let key = item["id"].as_str().map(str::to_owned);
            let typed = items::user_text(item).map(|text| shown::record(key, RecordBody::UserText { text }));
            let record = || items::record(item, Stage::Completed).map(|record| AgentEvent::Record { record });
            // Tools are told by their calls, of which there is always one.
            let is_tool = |event: &AgentEvent| matches!(event, AgentEvent::Record { record } if matches!(record.body, RecordBody::ToolEnded { .. }));
            typed.or_else(record).filter(|event| !is_tool(event)).into_iter().collect()
        }
        ("event_msg", "token_count") => {
            let info = &payload["info"];
            let last: Option<Tokens> = serde_json::from_value(info["last_token_usage"].clone()).ok();
            let window = info["model_context_window"].as_u64();
            last.map(|last| shown::record(None, items::usage(&last, window))).into_iter().collect()
        }
        ("response_item", "function_call" | "custom_tool_call") => called(payload).into_iter().collect(),
        ("response_item", "function_call_output" | "custom_tool_call_output") => {
            let Some(call) = payload["call_id"].as_str().map(str::to_owned) else { return Vec::new() };
            let output = output(&payload["output"]);
            let failed = output.lines().any(|line| {
                line.trim().strip_prefix("Process exited with code ").is_some_and(|code| code.trim() != "0")
            });
            let output = Some(shown::output(&output)).filter(|text| !text.is_empty());
            vec![shown::record(Some(call.clone()), RecordBody::ToolEnded { call, failed, output })]
        }
        _ => Vec::new(),
    }
}

fn called(payload: &Value) -> Option<AgentEvent> {
    let call = payload["call_id"].as_str()?.to_owned();
    let name = payload["name"].as_str()?;
    let text = payload["arguments"].as_str().or_else(|| payload["input"].as_str()).unwrap_or_default();
    let input: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({"input": text}));
    let command = input["cmd"].as_str().or_else(|| input["command"].as_str());
    let (tool, title) = match command {
        Some(command) => ("shell", shown::title(command)),
        None => (name, shown::title(name)),
    };
    let body = RecordBody::ToolStarted { call: call.clone(), tool: tool.to_owned(), title, input };
    Some(shown::record(Some(call), body))
}

fn output(output: &Value) -> String {
    match output {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => output["content"].as_str().unwrap_or_default().to_owned(),
    }
}

/// Seconds since 1970 of `2026-11-21T07:53:42.293Z`.
fn seconds(stamp: &str) -> Option<i64> {
    let number = |from: usize, to: usize| stamp.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days of the civil calendar, counted from the first of March, so that leap days come last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::recorded::{coherent, words};

    const ROLLOUT: &str = include_str!("../../../testdata/agents/codex-rollout.jsonl");

    #[test]
    fn the_recorded_rollout_is_a_conversation() {
        let events: Vec<_> = ROLLOUT.lines().flat_map(|text| line(text.as_bytes()).events).collect();
        let words = words(&events);
        assert_eq!(words, ["turn{", "working", "user:say one", "text:one", "usage", "}completed", "idle"]);
        coherent(&events);
    }

    #[test]
    fn a_tool_is_told_by_its_call_and_its_output() {
        let call = br#"{"type":"response_item","payload":{"type":"function_call","name":"exec_command","call_id":"c","arguments":"{\"cmd\":\"ls\"}"}}"#;
        let done = br#"{"type":"response_item","payload":{"type":"function_call_output","call_id":"c","output":"Process exited with code 1\n"}}"#;
        let events: Vec<_> = [&call[..], &done[..]].into_iter().flat_map(|text| line(text).events).collect();
        assert_eq!(words(&events), ["tool:shell:ls", "failed"]);
        assert_eq!(words(&line(b"rubbish").events), ["skipped:not JSON"]);
    }

    #[test]
    fn stamps_are_seconds() {
        assert_eq!(seconds("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(seconds("2026-11-21T07:53:42.293Z"), Some(1_795_247_622));
        assert_eq!(seconds("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        assert_eq!(seconds("yesterday"), None);
    }
}
