//! What the owner lets a phone do.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Entries of one list: more than people write.
const MAX_ENTRIES: usize = 64;

/// What a phone may do with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FileAccess {
    /// Nothing.
    Off,
    /// Read, list and search.
    #[default]
    Read,
    /// Write, too.
    Write,
}

/// `[remote]` of the configuration. In paths `~` is the home directory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RemoteSettings {
    /// Directories below which a phone may start sessions and, by the machine's own calls, reach files.
    pub(crate) roots: Vec<String>,
    /// Directories no file call reaches, wherever it begins: keys and tokens. The daemon's own are always among them.
    pub(crate) deny: Vec<String>,
    /// What it may do with files, in a session's directory and below `roots`.
    pub(crate) files: FileAccess,
    /// Whether it may run commands: `bash`, and by `api` sessions with a command of its own and typing into terminals.
    /// They are confined by nothing but the user they run as.
    pub(crate) shell: bool,
    /// Names of the environment variables it may set in a session; `*` at the end stands for anything.
    pub(crate) env: Vec<String>,
    /// Whether it may end the daemon.
    pub(crate) stop_daemon: bool,
    /// Whether the account's other machines may use the control API (`delightctl --machine`): as whoever sits here, but
    /// for accounts, pairing and policy, and for commands unless `shell` allows those.
    pub(crate) api: bool,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        let list = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
        Self {
            roots: list(&["~"]),
            deny: list(&[
                "~/.ssh",
                "~/.gnupg",
                "~/.aws",
                "~/.azure",
                "~/.kube",
                "~/.docker",
                "~/.config/gcloud",
                "~/.config/gh",
                "~/.password-store",
                "~/.happy",
                "~/.netrc",
                "~/.git-credentials",
                "~/.pgpass",
                "~/.local/share/keyrings",
            ]),
            files: FileAccess::Read,
            shell: false,
            // What agents are configured with. Nothing by which a program loads code (`LD_PRELOAD`, `NODE_OPTIONS`,
            // `PATH`, …): that would be a shell by another name.
            env: list(&[
                "ANTHROPIC_*",
                "CLAUDE_CODE_OAUTH_TOKEN",
                "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
                "API_TIMEOUT_MS",
                "OPENAI_*",
                "AZURE_OPENAI_*",
                "GEMINI_*",
                "GOOGLE_API_KEY",
                "GOOGLE_CLOUD_PROJECT",
                "OPENROUTER_*",
                "TOGETHER_*",
                "DEEPSEEK_*",
                "MOONSHOT_*",
                "Z_AI_*",
                "MAX_THINKING_TOKENS",
            ]),
            stop_daemon: true,
            api: true,
        }
    }
}

impl RemoteSettings {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A line that names the key.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (key, list) in [("roots", &self.roots), ("deny", &self.deny), ("env", &self.env)] {
            if list.len() > MAX_ENTRIES {
                return Err(format!(
                    "remote.{key} has {} entries; at most {MAX_ENTRIES} are allowed",
                    list.len()
                ));
            }
        }
        for (key, list) in [("roots", &self.roots), ("deny", &self.deny)] {
            if let Some(bad) = list.iter().find(|path| expand(path, Path::new("/")).is_none()) {
                return Err(format!("remote.{key}: {bad:?} is neither an absolute path nor one below ~"));
            }
        }
        let plain = |name: &str| {
            let name = name.strip_suffix('*').unwrap_or(name);
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if let Some(bad) = self.env.iter().find(|name| !plain(name)) {
            return Err(format!("remote.env: {bad:?} is no variable's name, nor the beginning of one and *"));
        }
        Ok(())
    }

    /// Whether a phone may set this variable.
    pub(super) fn may_set(&self, name: &str) -> bool {
        self.env.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == allowed,
        })
    }
}

/// A path of a person's with `~` as the home directory; `None` when it is not absolute then.
pub(super) fn expand(path: &str, home: &Path) -> Option<PathBuf> {
    let path = match path.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) => home.join(rest.strip_prefix('/')?.trim_start_matches('/')),
        None => PathBuf::from(path),
    };
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_together_and_let_nothing_load_code() {
        let settings = RemoteSettings::default();
        settings.check().unwrap();
        assert!(settings.may_set("ANTHROPIC_API_KEY"));
        for name in
            ["PATH", "LD_PRELOAD", "NODE_OPTIONS", "BASH_ENV", "HOME", "DELIGHT_STATE_DIR", "PYTHONPATH"]
        {
            assert!(!settings.may_set(name), "{name}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        for (text, key) in [
            ("roots = [\"relative\"]", "remote.roots"),
            ("deny = [\"~other/x\"]", "remote.deny"),
            ("env = [\"*\"]", "remote.env"),
            ("env = [\"A B\"]", "remote.env"),
        ] {
            let settings: RemoteSettings = toml::from_str(text).unwrap();
            assert!(settings.check().unwrap_err().contains(key), "{text}");
        }
        assert!(toml::from_str::<RemoteSettings>("files = \"all\"").is_err());
        assert!(toml::from_str::<RemoteSettings>("shel = true").is_err());
    }

    #[test]
    fn a_tilde_is_the_home_directory_of_this_user_only() {
        let home = Path::new("/home/u");
        assert_eq!(expand("~", home).unwrap(), home);
        assert_eq!(expand("~/a", home).unwrap(), home.join("a"));
        assert_eq!(expand("~//etc", home).unwrap(), home.join("etc"));
        assert_eq!(expand("/x", home).unwrap(), Path::new("/x"));
        assert_eq!(expand("~root", home), None);
        assert_eq!(expand("x", home), None);
    }
}
