//! Where Claude keeps its conversations and says what it is doing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::adapters::program;

/// Project directories looked at for a transcript that is not where it should be (its project was moved or is reached by
/// another path). People have some hundreds.
const PROJECTS: usize = 4_096;

/// Claude's configuration directory.
pub(super) fn config_dir(env: &[(String, String)]) -> Option<PathBuf> {
    program::home_of(env, "CLAUDE_CONFIG_DIR", ".claude")
}

/// The directory Claude keeps the transcripts of a working directory in; for very long paths none, as Claude adds a hash.
pub(super) fn project_dir(config: &Path, cwd: &str) -> Option<PathBuf> {
    let real = fs::canonicalize(cwd).ok()?;
    let slug: String =
        real.to_str()?.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    (slug.len() <= 200).then(|| config.join("projects").join(slug))
}

/// The transcript of a conversation, if it has one: it is made with the first message. Bounded by [`PROJECTS`].
pub(super) fn transcript(config: &Path, cwd: &str, conversation: &str) -> Option<PathBuf> {
    // An id goes into a path: nothing but a plain name.
    if !conversation.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return None;
    }
    let name = format!("{conversation}.jsonl");
    let expected = project_dir(config, cwd).map(|dir| dir.join(&name));
    if let Some(path) = expected.filter(|path| path.is_file()) {
        return Some(path);
    }
    let projects = fs::read_dir(config.join("projects")).ok()?;
    projects.flatten().take(PROJECTS).map(|dir| dir.path().join(&name)).find(|path| path.is_file())
}

/// Where the process says what it is doing.
pub(super) fn status_dir(config: &Path) -> PathBuf {
    config.join("sessions")
}

/// Whether Claude has something to log in with, as far as a look tells. The keychain of a Mac is not looked into.
pub(super) fn has_login(config: &Path, env: &[(String, String)]) -> bool {
    const VARIABLES: &[&str] = &[
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_VERTEX",
    ];
    let helper = || mentions(&config.join("settings.json"), "apiKeyHelper");
    // The account stands beside the default directory, or inside another one.
    let beside = config.with_file_name(".claude.json");
    let account =
        || mentions(&beside, "oauthAccount") || mentions(&config.join(".claude.json"), "oauthAccount");
    cfg!(target_os = "macos")
        || VARIABLES.iter().any(|name| program::variable(env, name).is_some())
        || config.join(".credentials.json").is_file()
        || helper()
        || account()
}

/// Largest settings file looked into for a word.
const SETTINGS_BYTES: u64 = 8 << 20;

fn mentions(path: &Path, word: &str) -> bool {
    let small = fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= SETTINGS_BYTES);
    small && fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcripts_are_found_where_claude_puts_them() {
        let base = tempfile::tempdir().unwrap();
        let cwd = base.path().join("a b_c.d-é~x");
        fs::create_dir(&cwd).unwrap();
        let config = base.path().join("cfg");
        let dir = project_dir(&config, cwd.to_str().unwrap()).unwrap();
        assert!(dir.to_str().unwrap().ends_with("-a-b-c-d---x"), "{}", dir.display());
        let found = || transcript(&config, cwd.to_str().unwrap(), "u-1");
        assert_eq!(found(), None);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("u-1.jsonl"), "").unwrap();
        assert_eq!(found(), Some(dir.join("u-1.jsonl")));
        // Moved: found all the same.
        fs::rename(&dir, config.join("projects/other")).unwrap();
        assert_eq!(found(), Some(config.join("projects/other/u-1.jsonl")));
        assert_eq!(transcript(&config, "/", "../../etc/passwd"), None);
    }

    #[test]
    fn a_login_is_seen_in_the_environment_and_in_files() {
        let base = tempfile::tempdir().unwrap();
        let config = base.path().join(".claude");
        fs::create_dir(&config).unwrap();
        let key = [("ANTHROPIC_API_KEY".to_owned(), "x".to_owned())];
        assert!(has_login(&config, &key));
        if cfg!(target_os = "macos") {
            return;
        }
        assert!(!has_login(&config, &[]));
        fs::write(base.path().join(".claude.json"), r#"{"oauthAccount": {}}"#).unwrap();
        assert!(has_login(&config, &[]));
    }
}
