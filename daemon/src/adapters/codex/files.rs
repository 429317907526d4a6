//! Where Codex keeps its conversations.

use std::fs;
use std::path::{Path, PathBuf};

use crate::adapters::program;

/// Directories of days looked into for a conversation, newest first: ten years.
const DAYS: usize = 3_660;

/// Codex's directory.
pub(super) fn home(env: &[(String, String)]) -> Option<PathBuf> {
    program::home_of(env, "CODEX_HOME", ".codex")
}

/// The conversation a rollout file is of: `rollout-2026-11-21T07-53-24-UUID.jsonl`.
pub(super) fn conversation_of(file: &Path) -> Option<&str> {
    let name = file.file_name()?.to_str()?.strip_prefix("rollout-")?.strip_suffix(".jsonl")?;
    let id = name.get(name.len().checked_sub(36)?..)?;
    id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-').then_some(id)
}

/// The rollout file of a conversation, if it has one: it is made with the first turn. Bounded by [`DAYS`].
pub(super) fn rollout(home: &Path, conversation: &str) -> Option<PathBuf> {
    let sessions = home.join("sessions");
    let days = newest_first(&sessions).into_iter().flat_map(|year| newest_first(&year));
    let days = days.flat_map(|month| newest_first(&month)).take(DAYS);
    days.flat_map(|day| newest_first(&day)).find(|file| conversation_of(file) == Some(conversation))
}

fn newest_first(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort_unstable_by(|a, b| b.cmp(a));
    entries
}

/// Whether Codex has something to log in with, as far as a look tells.
pub(super) fn has_login(home: &Path, env: &[(String, String)]) -> bool {
    let key = ["OPENAI_API_KEY", "CODEX_API_KEY"].iter().any(|name| program::variable(env, name).is_some());
    // A provider of the owner's own brings its own key.
    let config = fs::read_to_string(home.join("config.toml")).unwrap_or_default();
    key || home.join("auth.json").is_file() || config.lines().any(|line| line.starts_with("model_provider"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_found_by_its_id_whatever_its_day() {
        let base = tempfile::tempdir().unwrap();
        let id = "01a1fd18-828f-7b32-afb2-c6e05e414e1d";
        let day = base.path().join("sessions/2026/11/21");
        fs::create_dir_all(&day).unwrap();
        assert_eq!(rollout(base.path(), id), None);
        let file = day.join(format!("rollout-2026-11-21T07-53-24-{id}.jsonl"));
        fs::write(&file, "").unwrap();
        assert_eq!(rollout(base.path(), id), Some(file));
        assert_eq!(conversation_of(Path::new("rollout-é.jsonl")), None);
    }

    #[test]
    fn a_login_is_seen() {
        let base = tempfile::tempdir().unwrap();
        assert!(!has_login(base.path(), &[]));
        assert!(has_login(base.path(), &[("OPENAI_API_KEY".into(), "x".into())]));
        fs::write(base.path().join("auth.json"), "{}").unwrap();
        assert!(has_login(base.path(), &[]));
    }
}
