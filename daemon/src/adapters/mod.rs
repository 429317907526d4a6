//! How sessions of each kind are started. A new kind is one file here and one line in `registry.rs`.

mod environment;
mod fake;
mod pty;
mod registry;

use std::path::PathBuf;

use delight_core::session::Capabilities;
use delight_proto::holder::Stdio;
use delight_proto::refusal::Refusal;
use delight_proto::session::StartSpec;

pub(crate) use environment::Environment;
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
    fn kind(&self) -> &'static str;

    /// All the core knows of it.
    fn capabilities(&self) -> Capabilities;

    /// How to start a runner for `spec`. `env` is the finished environment of the session.
    ///
    /// # Errors
    /// `start-failed` with what, why and fix.
    fn plan(
        &self,
        spec: &StartSpec,
        machine: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal>;
}

#[cfg(test)]
mod conformance;
