//! What a machine is, for the lists of phones.

use crate::sync::bounded::{Line, Name, Path};
use crate::sync::open::open_object;

open_object! {
    /// A machine's metadata. Happy's app wants `host`, `platform`, `happyCliVersion`, `happyHomeDir` and `homeDir`, and
    /// writes `displayName` itself.
    pub struct MachineMetadata {
        /// Host name.
        host: Name = "host",
        /// `linux` or `darwin`.
        platform: Name = "platform",
        /// Version of the daemon.
        happy_cli_version: Name = "happyCliVersion",
        /// The user's home directory.
        home_dir: Path = "homeDir",
        /// The daemon's state directory.
        happy_home_dir: Path = "happyHomeDir",
        /// Where the daemon's program lies.
        happy_lib_dir: Path = "happyLibDir",
        /// The name a person gave it, on the phone.
        display_name: Line = "displayName",
        /// The user's name.
        username: Name = "username",
        /// The processor family.
        arch: Name = "arch",
        /// Which agents are installed.
        cli_availability: AgentAvailability = "cliAvailability",
        /// Whether ended sessions can be resumed.
        resume_support: ResumeSupport = "resumeSupport",
    }
}

open_object! {
    /// Which agents are installed. Agents without a field of their own stand in `rest`.
    pub struct AgentAvailability {
        /// Claude Code.
        claude: bool = "claude",
        /// Codex.
        codex: bool = "codex",
        /// Gemini.
        gemini: bool = "gemini",
        /// OpenClaw.
        openclaw: bool = "openclaw",
        /// Unix milliseconds.
        detected_at: u64 = "detectedAt",
    }
}

open_object! {
    /// Whether ended sessions can be resumed.
    pub struct ResumeSupport {
        /// Whether the method is offered.
        rpc_available: bool = "rpcAvailable",
        /// Whether only the machine they ran on can.
        requires_same_machine: bool = "requiresSameMachine",
        /// Whether Happy's remote client must be logged in there.
        requires_happy_agent_auth: bool = "requiresHappyAgentAuth",
        /// Whether it is.
        happy_agent_authenticated: bool = "happyAgentAuthenticated",
        /// Unix milliseconds.
        detected_at: u64 = "detectedAt",
    }
}
