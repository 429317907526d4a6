//! A request as an agent might make it, for trying the policy out.

use delight_proto::agent::PermissionAsk;
use delight_proto::id::BadName;
use serde_json::Value;

use super::resolved_all;

/// Members of a tool's input that name one path each, in the agents there are.
const PATHS: &[&str] = &["file_path", "path", "notebook_path", "filePath", "directory"];

/// The request that a use of a tool with this input would make in `cwd`. Blocks on the disk.
///
/// # Errors
/// Never in practice: its id is a constant.
pub(crate) fn asked(cwd: &str, tool: String, input: Value) -> Result<PermissionAsk, BadName> {
    let command = match &input["command"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => {
            words.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|words| shell(&words))
        }
        _ => None,
    };
    let paths: Vec<String> =
        PATHS.iter().filter_map(|name| input[*name].as_str()).map(str::to_owned).collect();
    Ok(PermissionAsk {
        id: "policy-test".parse()?,
        title: tool.clone(),
        tool,
        call: None,
        command,
        paths: resolved_all(cwd, &paths),
        read_only: false,
        question: false,
        input,
    })
}

/// The text of a command given as words: what is behind `sh -c`, else the words, quoted.
fn shell(words: &[&str]) -> String {
    match words {
        [program, "-c" | "-lc", script] if program.ends_with("sh") => (*script).to_owned(),
        words => words
            .iter()
            .map(|word| format!("'{}'", word.replace('\'', "'\\''")))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_and_paths_are_found_in_the_input() {
        let of = |input| asked("/w", "Bash".to_owned(), input).unwrap();
        assert_eq!(of(json!({"command": "ls -l"})).command.as_deref(), Some("ls -l"));
        assert_eq!(of(json!({"command": ["bash", "-lc", "a; b"]})).command.as_deref(), Some("a; b"));
        assert_eq!(of(json!({"command": ["a b", "it's"]})).command.as_deref(), Some("'a b' 'it'\\''s'"));
        assert_eq!(of(json!({"file_path": "/none/a", "path": "b"})).paths, ["/none/a", "/w/b"]);
        assert_eq!(of(json!(null)).command, None);
    }
}
