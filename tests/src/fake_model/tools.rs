//! Which of an agent's tools serves a directive, and with which input.

use serde_json::{Map, Value, json};

use super::conversation::Tool;
use super::plan::sample;

const SHELLS: &[&str] = &["Bash", "exec_command", "shell_command", "shell", "run_shell_command", "bash"];
const WRITERS: &[&str] = &["Write", "write_file", "write"];
const READERS: &[&str] = &["Read", "read_file", "read"];
const ASKERS: &[&str] = &["AskUserQuestion", "request_user_input"];
const PATHS: &[&str] = &["file_path", "filePath", "absolute_path", "path"];

/// The tool and its input; none: the agent offers nothing that would do.
pub(super) fn call(tools: &[Tool], verb: &str, argument: &str) -> Option<(String, Value)> {
    let (first, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    match verb {
        "run" => shell(tools, argument, false),
        "escalate" => shell(tools, argument, true),
        "read" => match pick(tools, READERS) {
            Some(tool) => Some(filled(tool, [(path_name(tool), json!(argument))])),
            None => shell(tools, &format!("cat {argument}"), false),
        },
        "write" => {
            let tool = pick(tools, WRITERS)?;
            Some(filled(tool, [(path_name(tool), json!(first)), ("content", json!(format!("{rest}\n")))]))
        }
        "ask" => {
            let mut parts = argument.split('|').map(str::trim);
            let question = parts.next().unwrap_or_default();
            let options: Vec<Value> =
                parts.map(|label| json!({"label": label, "description": format!("pick {label}")})).collect();
            let tool = pick(tools, ASKERS)?;
            let wanted = json!({"id": "q1", "question": question, "header": "Fake", "multiSelect": false, "options": options});
            let known = &tool.schema["properties"]["questions"]["items"]["properties"];
            let mut item = wanted.as_object().cloned().unwrap_or_default();
            item.retain(|name, _| known.is_null() || known.get(name).is_some());
            Some(filled(tool, [("questions", json!([item]))]))
        }
        "tool" => Some((first.to_owned(), serde_json::from_str(rest).unwrap_or_default())),
        _ => None,
    }
}

fn pick<'a>(tools: &'a [Tool], names: &[&str]) -> Option<&'a Tool> {
    names.iter().find_map(|name| tools.iter().find(|tool| tool.name == *name))
}

fn path_name(tool: &Tool) -> &'static str {
    let known = PATHS.iter().find(|name| tool.schema["properties"].get(**name).is_some());
    known.copied().unwrap_or("path")
}

fn shell(tools: &[Tool], command: &str, escalate: bool) -> Option<(String, Value)> {
    let tool = pick(tools, SHELLS)?;
    let properties = &tool.schema["properties"];
    let name = if properties.get("cmd").is_some() { "cmd" } else { "command" };
    let is_list = properties[name]["type"] == "array";
    let command = if is_list { json!(["bash", "-lc", command]) } else { json!(command) };
    let mut call = filled(tool, [(name, command)]);
    if escalate {
        call.1["sandbox_permissions"] = json!("require_escalated");
        call.1["justification"] = json!("the fake model wants to");
    }
    Some(call)
}

/// An input with what is wanted, and with the plainest value of everything else that is required.
fn filled<const N: usize>(tool: &Tool, wanted: [(&str, Value); N]) -> (String, Value) {
    let mut input: Map<String, Value> =
        wanted.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let required = tool.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if !input.contains_key(name) {
            input.insert(name.to_owned(), sample(&tool.schema["properties"][name]));
        }
    }
    (tool.name.clone(), Value::Object(input))
}
