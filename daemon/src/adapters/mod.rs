//! How sessions of each kind are started. A new kind is one file here and one line in `registry.rs`.

mod acp;
pub(crate) mod agents_config;
mod claude;
pub(crate) mod codec;
mod codex;
mod derived_id;
mod environment;
mod fake;
mod file_editor;
mod given;
mod json_rpc;
mod line_file;
mod program;
mod pty;
#[cfg(test)]
mod recorded;
mod registry;
mod shown;
mod watching;

use std::path::PathBuf;

use delight_core::session::Capabilities;
use delight_proto::agent::{AgentMemory, Control};
use delight_proto::api::method::TerminalProgram;
use delight_proto::holder::Stdio;
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::Refusal;
use delight_proto::session::{SessionView, StartSpec};

use codec::{Codec, Reporter, Watching};
pub(crate) use codex::host as host_codex;
pub(crate) use environment::Environment;
pub(crate) use file_editor::serve as serve_files;
pub(crate) use registry::Adapters;

/// What an adapter may know of the machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What sessions inherit of the daemon's environment.
    pub(crate) environment: Environment,
    /// The user's login shell, from the user database.
    pub(crate) login_shell: Option<PathBuf>,
    /// The fake agent's program, when it is installed.
    pub(crate) fake_agent: Option<PathBuf>,
    /// The daemon's own program.
    pub(crate) daemon: PathBuf,
    /// Directories that are the daemon's alone: its keys lie there.
    pub(crate) private: Vec<PathBuf>,
    /// Where sessions' sockets lie.
    pub(crate) place: Place,
}

/// What a runner is started for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launch<'a> {
    /// The session.
    pub(crate) id: SessionId,
    /// How it was asked for.
    pub(crate) spec: &'a StartSpec,
    /// Whom it is to serve; none: a plain terminal.
    pub(crate) control: Option<Control>,
    /// What is remembered of its agent: which conversation to go on with, which model and mode.
    pub(crate) memory: &'a AgentMemory,
}

/// How to start a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunnerPlan {
    /// Program and arguments; at least one. A program without `/` is looked up in `PATH` of `env`.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// Streams.
    pub(crate) stdio: Stdio,
}

/// A session kind. It says how to start a runner; processes, journals, generations and retries are not its business.
pub(crate) trait Adapter: Send + Sync + std::fmt::Debug {
    /// Its name on the wire.
    fn kind(&self) -> &str;

    /// All the core knows of it.
    fn capabilities(&self) -> Capabilities;

    /// The program its sessions run by default, found and ready (installed, logged in).
    ///
    /// # Errors
    /// `start-failed` with what is missing and how to get it.
    fn detect(&self, machine: &Machine) -> Result<PathBuf, Refusal>;

    /// Whether its agent can be told how hard to think. A session that asks for it of another is refused.
    fn has_efforts(&self) -> bool {
        false
    }

    /// How to start a runner. `env` is the finished environment of the session. May look at the agent's files, and must
    /// not take long: it runs off the reactor, inside the start.
    ///
    /// # Errors
    /// `start-failed` with what, why and fix.
    fn plan(
        &self,
        launch: &Launch<'_>,
        machine: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal>;

    /// The agent's own terminal program as one more client of the runner of a session that is up, for a kind phone and
    /// desktop share; none: the kind has no such thing. It is disposable: the session neither knows nor needs it.
    ///
    /// # Errors
    /// `start-failed`: it is not there.
    fn terminal(&self, session: &SessionView, machine: &Machine) -> Result<Option<TerminalProgram>, Refusal> {
        let _ = (session, machine);
        Ok(None)
    }

    /// How the runner's protocol is read and written; none: what it writes is for terminals.
    fn codec(&self, launch: &Launch<'_>) -> Option<Box<dyn Codec>> {
        let _ = launch;
        None
    }

    /// Watches the files of a runner that is up (its process is `pid`) and reports what its agent does; none: it has none.
    /// Goes on after the marks of the launch's memory.
    fn watch(&self, launch: &Launch<'_>, machine: &Machine, pid: u32, to: Reporter) -> Option<Watching> {
        let _ = (launch, machine, pid, to);
        None
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod plans;
