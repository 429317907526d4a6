//! What Claude's own tools do with their inputs.

use std::path::Path;

use serde_json::Value;

use crate::adapters::shown;

/// Tools that read and do nothing else.
const READERS: &[&str] = &["Read", "Glob", "Grep", "LS", "NotebookRead"];

/// Tools that are a question to a person: a yes alone is no answer.
const QUESTIONS: &[&str] = &["AskUserQuestion", "ExitPlanMode"];

/// Members of an input that name a file or directory.
const PATHS: &[&str] = &["file_path", "notebook_path", "path"];

/// Members of an input that say in a line what is done, best first.
const TELLING: &[&str] =
    &["command", "file_path", "notebook_path", "pattern", "url", "query", "description", "path"];

/// A line for people.
pub(super) fn title(tool: &str, input: &Value) -> String {
    let telling = TELLING.iter().find_map(|name| input.get(name)?.as_str()).map(shown::title);
    match telling.filter(|line| !line.is_empty()) {
        Some(line) => shown::title(&format!("{tool}: {line}")),
        None => shown::title(tool),
    }
}

/// The shell command it runs.
pub(super) fn command(tool: &str, input: &Value) -> Option<String> {
    (tool == "Bash").then(|| input.get("command")?.as_str().map(str::to_owned)).flatten()
}

/// The paths it touches, made absolute. A shell command names none: what it touches is not known.
pub(super) fn paths(tool: &str, input: &Value, cwd: &str) -> Vec<String> {
    if tool == "Bash" {
        return Vec::new();
    }
    let named =
        PATHS.iter().filter_map(|name| input.get(name)?.as_str()).map(|path| Path::new(cwd).join(path));
    let mut paths: Vec<String> = named.filter_map(|path| path.to_str().map(str::to_owned)).collect();
    // Searches look below the working directory when nothing is said.
    if paths.is_empty() && READERS.contains(&tool) {
        paths.push(cwd.to_owned());
    }
    paths
}

/// Whether it only reads.
pub(super) fn reads_only(tool: &str) -> bool {
    READERS.contains(&tool)
}

/// Whether it is a question to a person.
pub(super) fn asks(tool: &str) -> bool {
    QUESTIONS.contains(&tool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_title_says_the_tool_and_what_it_is_about() {
        assert_eq!(title("Bash", &json!({"command": "npm test\n", "description": "run"})), "Bash: npm test");
        assert_eq!(title("Task", &json!({"description": "look"})), "Task: look");
        assert_eq!(title("ExitPlanMode", &json!({})), "ExitPlanMode");
    }

    #[test]
    fn paths_are_absolute_and_a_command_names_none() {
        assert_eq!(paths("Write", &json!({"file_path": "a/b"}), "/w"), ["/w/a/b"]);
        assert_eq!(paths("Read", &json!({"file_path": "/etc/passwd"}), "/w"), ["/etc/passwd"]);
        assert_eq!(paths("Grep", &json!({"pattern": "x"}), "/w"), ["/w"]);
        assert!(paths("Bash", &json!({"command": "cat /x", "path": "/y"}), "/w").is_empty());
        assert_eq!(command("Bash", &json!({"command": "ls"})).as_deref(), Some("ls"));
        assert_eq!(command("Write", &json!({"command": "ls"})), None);
    }
}
