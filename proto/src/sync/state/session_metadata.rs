//! What a session is, for the lists and headers of phones.

use crate::sync::bounded::{Id, Line, Name, Path};
use crate::sync::open::open_object;

open_object! {
    /// A session's metadata. Happy's app wants `path` and `host`.
    pub struct SessionMetadata {
        /// Working directory.
        path: Path = "path",
        /// Host name.
        host: Name = "host",
        /// Version of the daemon.
        version: Name = "version",
        /// Operating system, `linux` or `darwin`.
        os: Name = "os",
        /// The machine it runs on.
        machine_id: Id = "machineId",
        /// The user's home directory.
        home_dir: Path = "homeDir",
        /// The daemon's state directory.
        happy_home_dir: Path = "happyHomeDir",
        /// Where the daemon's program lies.
        happy_lib_dir: Path = "happyLibDir",
        /// Where its tools lie.
        happy_tools_dir: Path = "happyToolsDir",
        /// Whether a daemon started it.
        started_from_daemon: bool = "startedFromDaemon",
        /// `daemon` or `terminal`.
        started_by: Name = "startedBy",
        /// Process id of its holder.
        host_pid: u64 = "hostPid",
        /// `running`, `archiveRequested` or `archived`.
        lifecycle_state: Name = "lifecycleState",
        /// Since when, Unix milliseconds.
        lifecycle_state_since: u64 = "lifecycleStateSince",
        /// Who archived it.
        archived_by: Name = "archivedBy",
        /// Why.
        archive_reason: Line = "archiveReason",
        /// The agent: `claude`, `codex`, `gemini`, …
        flavor: Name = "flavor",
        /// The name a person gave it.
        name: Line = "name",
        /// What it is about.
        summary: Summary = "summary",
        /// The agent's own id, for Claude.
        claude_session_id: Id = "claudeSessionId",
        /// The agent's own id, for Codex.
        codex_thread_id: Id = "codexThreadId",
        /// The agent's tools.
        tools: Vec<Line> = "tools",
        /// The agent's slash commands.
        slash_commands: Vec<Line> = "slashCommands",
        /// The agent's MCP servers.
        mcp_servers: Vec<McpServer> = "mcpServers",
        /// The agent's skills.
        skills: Vec<Line> = "skills",
        /// Models to choose from.
        models: Vec<Choice> = "models",
        /// The chosen one's code.
        current_model_code: Name = "currentModelCode",
        /// Modes to choose from.
        operating_modes: Vec<Choice> = "operatingModes",
        /// The chosen one's code.
        current_operating_mode_code: Name = "currentOperatingModeCode",
        /// Thought levels to choose from.
        thought_levels: Vec<Choice> = "thoughtLevels",
        /// The chosen one's code.
        current_thought_level_code: Name = "currentThoughtLevelCode",
        /// Whether the agent asks nobody.
        dangerously_skip_permissions: bool = "dangerouslySkipPermissions",
    }
}

open_object! {
    /// What a session is about.
    pub struct Summary {
        /// A line.
        text: Line = "text",
        /// Unix milliseconds.
        updated_at: u64 = "updatedAt",
    }
}

open_object! {
    /// An MCP server of the agent.
    pub struct McpServer {
        /// Its name.
        name: Name = "name",
        /// `connected`, `failed`, …
        status: Name = "status",
    }
}

open_object! {
    /// Something to choose.
    pub struct Choice {
        /// For programs.
        code: Name = "code",
        /// For people.
        value: Line = "value",
        /// For people who want to know more.
        description: Line = "description",
    }
}
