//! `agents.toml`, beside the configuration file: how agents are run, and agents of the owner's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use delight_proto::agent::AgentMemory;
use delight_proto::refusal::{Code, Refusal};
use serde::Deserialize;

/// Largest file read: an agent takes a few lines.
const MAX_BYTES: u64 = 256 << 10;
/// Agents of the owner's own. More than there are on the market.
const MAX_AGENTS: usize = 64;
/// Characters of a kind's name: it stands in lists.
const MAX_NAME: usize = 32;

/// What the owner said of one agent. All of it is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentSettings {
    /// Program and first arguments. The program is an absolute path or looked up in `PATH`.
    pub(crate) command: Vec<String>,
    /// Environment entries laid over the session's.
    pub(crate) env: BTreeMap<String, String>,
    /// The model, where a session says none.
    pub(crate) model: Option<String>,
    /// The permission mode, where a session says none.
    pub(crate) permission_mode: Option<String>,
    /// Whether desktop and phone drive its sessions at once (the default), or one process takes over from the other.
    /// Codex alone can.
    pub(crate) share: Option<bool>,
}

impl AgentSettings {
    /// The same with a command, if none was set.
    pub(super) fn or_command(mut self, command: &[&str]) -> Self {
        if self.command.is_empty() {
            self.command = command.iter().map(|&word| word.to_owned()).collect();
        }
        self
    }

    /// The environment with the owner's entries in it.
    pub(super) fn environment(&self, mut env: Vec<(String, String)>) -> Vec<(String, String)> {
        env.retain(|(name, _)| !self.env.contains_key(name));
        env.extend(self.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        env
    }

    /// The command with its program as it was found.
    pub(super) fn argv(&self, found: &Path) -> Vec<String> {
        let program = found.to_string_lossy().into_owned();
        std::iter::once(program).chain(self.command.iter().skip(1).cloned()).collect()
    }

    /// The model a session's runner is to use.
    pub(super) fn model(&self, memory: &AgentMemory) -> Option<String> {
        memory.mode.model.clone().or_else(|| self.model.clone())
    }

    /// The permission mode a session's runner is to begin in.
    pub(super) fn permission_mode(&self, memory: &AgentMemory) -> Option<String> {
        memory.mode.permission_mode.clone().or_else(|| self.permission_mode.clone())
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentsConfig {
    /// Claude Code.
    pub(crate) claude: AgentSettings,
    /// Codex.
    pub(crate) codex: AgentSettings,
    /// Agents that speak the Agent Client Protocol, by the name of their kind.
    pub(crate) acp: BTreeMap<String, AgentSettings>,
}

/// ACP agents that are known without being named: kind and command.
const KNOWN: &[(&str, &[&str])] = &[
    ("gemini", &["gemini", "--acp"]),
    ("opencode", &["opencode", "acp"]),
    ("qwen", &["qwen", "--acp"]),
    ("copilot", &["copilot", "--acp"]),
    ("claude-agent-acp", &["claude-agent-acp"]),
    ("codex-acp", &["codex-acp"]),
];

/// Names of kinds that are taken.
const TAKEN: &[&str] = &["pty", "fake", "claude", "codex", "acp", "file-editor"];

impl AgentsConfig {
    /// Every ACP agent: the known ones with what the owner says of them, and the owner's own.
    pub(super) fn acp_agents(&self) -> BTreeMap<String, AgentSettings> {
        let mut all = self.acp.clone();
        for (kind, command) in KNOWN {
            let said = all.remove(*kind).unwrap_or_default();
            all.insert((*kind).to_owned(), said.or_command(command));
        }
        all
    }
}

#[cfg(test)]
impl AgentsConfig {
    /// The programs of the ACP agents.
    pub(super) fn acp_programs(&self) -> Vec<String> {
        self.acp_agents().into_values().map(|mut agent| agent.command.remove(0)).collect()
    }
}

/// Reads the file; one that is not there says nothing.
///
/// # Errors
/// `bad-params`: what is wrong with it, and how to go on.
pub(crate) fn load(path: &Path) -> Result<AgentsConfig, Refusal> {
    let unusable = |reason: String| {
        Refusal::new(Code::BadParams, format!("{} cannot be used", path.display()), reason)
            .fix("correct the file, or move it away to run with the defaults")
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(AgentsConfig::default()),
        Err(e) => return Err(unusable(e.to_string())),
    };
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| unusable(e.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(unusable(format!("it is larger than {MAX_BYTES} bytes")));
    }
    parse(&text).map_err(unusable)
}

fn parse(text: &str) -> Result<AgentsConfig, String> {
    let config: AgentsConfig = toml::from_str(text).map_err(|e| e.to_string().trim().replace('\n', " "))?;
    if config.acp.len() > MAX_AGENTS {
        return Err(format!("it names {} acp agents; {MAX_AGENTS} at most", config.acp.len()));
    }
    for (kind, settings) in &config.acp {
        check_name(kind)?;
        let known = KNOWN.iter().any(|(name, _)| name == kind);
        if settings.command.is_empty() && !known {
            return Err(format!("acp.{kind} has no command"));
        }
    }
    let named = [("claude", &config.claude), ("codex", &config.codex)];
    let acp = config.acp.iter().map(|(kind, settings)| (kind.as_str(), settings));
    named.into_iter().chain(acp).try_for_each(|(kind, settings)| check(kind, settings))?;
    Ok(config)
}

fn check_name(kind: &str) -> Result<(), String> {
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if kind.is_empty() || kind.len() > MAX_NAME || !kind.chars().all(fit) || kind.starts_with('-') {
        return Err(format!("acp.{kind:?}: a kind is 1 to {MAX_NAME} of a-z 0-9 and -, the first no -"));
    }
    if TAKEN.contains(&kind) {
        return Err(format!("acp.{kind}: that kind is delight's own; choose another name"));
    }
    Ok(())
}

fn check(kind: &str, settings: &AgentSettings) -> Result<(), String> {
    let words = || settings.command.iter().chain(settings.env.iter().flat_map(|(name, value)| [name, value]));
    if words().any(|word| word.contains('\0')) {
        return Err(format!("{kind}: a command or an entry of env holds a NUL"));
    }
    if settings.command.first().is_some_and(|program| program.contains('/') && !program.starts_with('/')) {
        return Err(format!("{kind}: the program {:?} is a relative path", settings.command[0]));
    }
    if let Some(name) = settings.env.keys().find(|name| name.is_empty() || name.contains('=')) {
        return Err(format!("{kind}: {name:?} cannot name a variable"));
    }
    if settings.share.is_some() && kind != "codex" {
        return Err(format!("{kind}: only codex can be shared"));
    }
    let flags = [("model", &settings.model), ("permission_mode", &settings.permission_mode)];
    for (what, value) in flags {
        // They are given to agents as arguments.
        if value.as_ref().is_some_and(|value| value.is_empty() || value.starts_with('-')) {
            return Err(format!("{kind}: {what} is empty or starts with -"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_means_the_known_agents() {
        let config = parse("").unwrap();
        assert_eq!(config, AgentsConfig::default());
        assert_eq!(config.acp_agents()["gemini"].command, ["gemini", "--acp"]);
    }

    #[test]
    fn an_agent_of_the_owners_own_is_a_kind_and_a_known_one_can_be_changed() {
        let text = r#"
            [claude]
            command = ["/opt/claude/bin/claude"]
            model = "opus"
            [acp.mine]
            command = ["mine", "--acp"]
            env = { KEY = "x" }
            [acp.gemini]
            permission_mode = "plan"
        "#;
        let config = parse(text).unwrap();
        assert_eq!(config.claude.model(&AgentMemory::default()).as_deref(), Some("opus"));
        let agents = config.acp_agents();
        assert_eq!(agents["mine"].command, ["mine", "--acp"]);
        assert_eq!(agents["gemini"].command, ["gemini", "--acp"]);
        let env = agents["mine"].environment(vec![("KEY".into(), "old".into()), ("A".into(), "b".into())]);
        assert_eq!(env, [("A".to_owned(), "b".to_owned()), ("KEY".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let cases = [
            ("[acp.Mine]\ncommand = [\"x\"]", "a-z"),
            ("[acp.mine]", "no command"),
            ("[acp.pty]\ncommand = [\"x\"]", "delight's own"),
            ("[claude]\ncomand = [\"x\"]", "comand"),
            ("[claude]\ncommand = [\"bin/x\"]", "relative"),
            ("[claude]\nmodel = \"-x\"", "starts with -"),
            ("[claude]\nshare = true", "only codex"),
            ("[codex]\nenv = { \"A=B\" = \"x\" }", "A=B"),
            ("[codex]\ncommand = [\"x\\u0000\"]", "NUL"),
        ];
        for (text, says) in cases {
            let reason = parse(text).unwrap_err();
            assert!(reason.contains(says), "{text}: {reason}");
        }
        let many: String = (0..=MAX_AGENTS).map(|n| format!("[acp.a{n}]\ncommand = [\"x\"]\n")).collect();
        assert!(parse(&many).unwrap_err().contains("at most"));
    }
}
