//! The items of a Codex conversation as records, from the app server and from the rollout file alike.

use delight_proto::agent::{AgentRecord, RecordBody};
use serde_json::{Value, json};

use super::shapes::Tokens;
use crate::adapters::shown;

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It begins.
    Started,
    /// It is complete.
    Completed,
}

/// The record of an item; none: nothing to show (yet).
pub(super) fn record(item: &Value, stage: Stage) -> Option<AgentRecord> {
    let id = item["id"].as_str()?.to_owned();
    let kind = item["type"].as_str()?;
    // The rollout file writes kinds with a capital.
    let kind = kind.get(..1)?.to_lowercase() + kind.get(1..)?;
    let body = match (kind.as_str(), stage) {
        ("agentMessage" | "plan", Stage::Completed) => RecordBody::Text { text: words(item)? },
        ("reasoning", Stage::Completed) => RecordBody::Thinking { text: thoughts(item)? },
        ("agentMessage" | "plan" | "reasoning" | "userMessage" | "contextCompaction", _) => return None,
        (_, Stage::Started) => {
            let (tool, title, input) = tool(&kind, item);
            RecordBody::ToolStarted { call: id.clone(), tool, title, input }
        }
        (_, Stage::Completed) => {
            let status = item["status"].as_str().unwrap_or("completed");
            let exit = item["exitCode"].as_i64().unwrap_or_default();
            let failed = !matches!(status, "completed" | "inProgress") || exit != 0;
            let output = output(item).filter(|text| !text.is_empty()).map(|text| shown::output(&text));
            RecordBody::ToolEnded { call: id.clone(), failed, output }
        }
    };
    Some(AgentRecord { key: Some(id), parent: None, body })
}

/// The words a person typed, of an item that is a message of theirs.
pub(super) fn user_text(item: &Value) -> Option<String> {
    matches!(item["type"].as_str(), Some("userMessage" | "UserMessage")).then(|| words(item)).flatten()
}

/// Tool, line for people, and input of an item that is a use of a tool.
pub(super) fn tool(kind: &str, item: &Value) -> (String, String, Value) {
    match kind {
        "commandExecution" => {
            let command = bare_command(item["command"].as_str(), item["commandActions"].as_array());
            let title = shown::title(&command);
            ("shell".into(), title, json!({"command": command, "cwd": item["cwd"]}))
        }
        "fileChange" => {
            let paths = changed_paths(item);
            let title = shown::title(&format!("patch {}", paths.join(", ")));
            ("apply_patch".into(), title, json!({"changes": item["changes"]}))
        }
        "mcpToolCall" => {
            let named = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
            let tool = format!("{}.{}", named("server"), named("tool"));
            (tool.clone(), shown::title(&tool), item["arguments"].clone())
        }
        _ => {
            let query = item["query"].as_str().unwrap_or_default();
            (kind.to_owned(), shown::title(&format!("{kind} {query}")), json!({}))
        }
    }
}

/// The paths a change of files names.
pub(super) fn changed_paths(item: &Value) -> Vec<String> {
    let changes = item["changes"].as_array().into_iter().flatten();
    changes.filter_map(|change| change["path"].as_str().map(str::to_owned)).collect()
}

/// A command without the shell Codex runs it in.
pub(super) fn bare_command(command: Option<&str>, actions: Option<&Vec<Value>>) -> String {
    let single =
        actions.filter(|actions| actions.len() == 1).and_then(|actions| actions[0]["command"].as_str());
    single.map_or_else(|| without_shell(command.unwrap_or_default()), str::to_owned)
}

/// `/bin/bash -lc 'X'` is X, with its quotes undone.
pub(super) fn without_shell(command: &str) -> String {
    let inner = command.split_once(" -lc ").or_else(|| command.split_once(" -c ")).map(|(_, inner)| inner);
    let quoted = inner.and_then(|inner| inner.strip_prefix('\'')?.strip_suffix('\''));
    quoted.map_or_else(|| command.to_owned(), |text| text.replace("'\\''", "'"))
}

/// Tokens as a record. Codex counts what was stored before as read; we do not.
pub(super) fn usage(tokens: &Tokens, context_window: Option<u64>) -> RecordBody {
    RecordBody::Usage {
        input_tokens: tokens.input_tokens.saturating_sub(tokens.cached_input_tokens),
        output_tokens: tokens.output_tokens,
        cache_written_tokens: tokens.cache_write_input_tokens,
        cache_read_tokens: tokens.cached_input_tokens,
        context_window,
    }
}

fn words(item: &Value) -> Option<String> {
    let whole = item["text"].as_str().map(str::to_owned);
    whole.or_else(|| Some(texts(&item["content"]))).filter(|text| !text.is_empty())
}

fn thoughts(item: &Value) -> Option<String> {
    let summary = [&item["summary"], &item["summary_text"]].map(texts);
    let content = [&item["content"], &item["raw_content"]].map(texts);
    summary.into_iter().chain(content).find(|text| !text.is_empty())
}

fn texts(parts: &Value) -> String {
    let text = |part: &Value| part.as_str().or_else(|| part["text"].as_str()).map(str::to_owned);
    parts.as_array().into_iter().flatten().filter_map(text).collect::<Vec<_>>().join("\n")
}

fn output(item: &Value) -> Option<String> {
    let error = item["error"]["message"].as_str().map(str::to_owned);
    let result = || Some(texts(&item["result"]["content"]));
    item["aggregatedOutput"].as_str().map(str::to_owned).or(error).or_else(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_the_shell_around_it() {
        assert_eq!(without_shell("/bin/bash -lc 'echo '\\''a'\\'' | wc'"), "echo 'a' | wc");
        assert_eq!(without_shell("/bin/bash -lc ls"), "/bin/bash -lc ls");
        assert_eq!(without_shell("git status"), "git status");
        let one = vec![json!({"command": "ls"})];
        assert_eq!(bare_command(Some("/bin/bash -lc ls"), Some(&one)), "ls");
    }

    #[test]
    fn items_of_the_rollout_are_those_of_the_server() {
        let of_server = json!({"type": "agentMessage", "id": "m", "text": "one"});
        let of_file =
            json!({"type": "AgentMessage", "id": "m", "content": [{"type": "Text", "text": "one"}]});
        assert_eq!(record(&of_server, Stage::Completed), record(&of_file, Stage::Completed));
        assert!(record(&of_server, Stage::Completed).is_some());
        assert_eq!(record(&of_server, Stage::Started), None);
        for odd in [json!(null), json!({"id": "x", "type": ""}), json!({"id": "x", "type": "é"})] {
            record(&odd, Stage::Started);
        }
    }
}
