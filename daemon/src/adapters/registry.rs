//! Which session kinds there are: the only place that names adapters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use delight_core::session::Capabilities;
use delight_proto::agent::is_effort;
use delight_proto::api::method::TerminalProgram;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::SessionView;

use super::agents_config::AgentsConfig;
use super::codec::{Codec, Reporter, Watching};
use super::{Adapter, Launch, Machine, RunnerPlan, acp, claude, codex, fake, file_editor, pty};

/// Every adapter of this build.
fn all(config: AgentsConfig) -> Vec<Box<dyn Adapter>> {
    let mut all: Vec<Box<dyn Adapter>> =
        vec![Box::new(pty::Pty), Box::new(fake::Fake), Box::new(file_editor::FileEditor)];
    let acp = config.acp_agents();
    all.push(Box::new(claude::Claude::new(config.claude)));
    all.push(Box::new(codex::Codex::new(config.codex)));
    all.extend(acp.into_iter().map(|(kind, set)| Box::new(acp::Acp::new(kind, set)) as Box<dyn Adapter>));
    all
}

/// The registered adapters. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Adapters {
    machine: Arc<Machine>,
    kinds: Arc<BTreeMap<String, Box<dyn Adapter>>>,
}

impl Adapters {
    /// All of them, on this machine, as its owner wants them run.
    pub(crate) fn new(machine: Machine, config: AgentsConfig) -> Self {
        let kinds = all(config).into_iter().map(|adapter| (adapter.kind().to_owned(), adapter)).collect();
        Self { machine: Arc::new(machine), kinds: Arc::new(kinds) }
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.kinds.keys().cloned().collect()
    }

    /// What the core is told of them.
    pub(crate) fn capabilities(&self) -> BTreeMap<String, Capabilities> {
        self.kinds.iter().map(|(kind, adapter)| (kind.clone(), adapter.capabilities())).collect()
    }

    /// The adapter of a session's kind.
    ///
    /// # Errors
    /// `start-failed`: the kind is unknown to this build (an older one than made the session).
    fn of(&self, kind: &str) -> Result<&dyn Adapter, Refusal> {
        self.kinds.get(kind).map(|adapter| &**adapter).ok_or_else(|| {
            Refusal::new(
                Code::StartFailed,
                format!("a session of kind {kind:?} cannot be started"),
                "this daemon has no such kind",
            )
            .fix("run a delightd that has it")
        })
    }

    /// How to start a runner of a session.
    ///
    /// # Errors
    /// `start-failed`: see [`Self::of`], an effort its agent cannot be told, or the adapter's own.
    pub(crate) fn plan(&self, launch: &Launch<'_>) -> Result<RunnerPlan, Refusal> {
        let env = self.machine.environment.of_session(launch.id, &launch.spec.env);
        let adapter = self.of(&launch.spec.kind)?;
        if launch.control.is_some()
            && let Some(effort) = &launch.memory.mode.effort
        {
            check_effort(adapter.kind(), adapter.has_efforts(), effort)?;
        }
        adapter.plan(launch, &self.machine, env)
    }

    /// The agent's own terminal program for a session that phone and desktop share; none: its kind has none.
    ///
    /// # Errors
    /// `start-failed`: it is not there.
    pub(crate) fn terminal(&self, session: &SessionView) -> Result<Option<TerminalProgram>, Refusal> {
        self.of(&session.kind)?.terminal(session, &self.machine)
    }

    /// How the runner's protocol is read and written, if it has one.
    pub(crate) fn codec(&self, launch: &Launch<'_>) -> Option<Box<dyn Codec>> {
        self.of(&launch.spec.kind).ok()?.codec(launch)
    }

    /// Watches the files of a runner, if it has any worth watching.
    pub(crate) fn watch(&self, launch: &Launch<'_>, pid: u32, to: Reporter) -> Option<Watching> {
        self.of(&launch.spec.kind).ok()?.watch(launch, &self.machine, pid, to)
    }

    /// Every kind with its program, or what is missing.
    pub(crate) fn detect(&self) -> Vec<(String, Capabilities, Result<PathBuf, Refusal>)> {
        self.kinds
            .iter()
            .map(|(kind, adapter)| (kind.clone(), adapter.capabilities(), adapter.detect(&self.machine)))
            .collect()
    }
}

/// A session that silently lacks what was asked for is worse than none, and an effort stands in an argument list.
fn check_effort(kind: &str, has_efforts: bool, effort: &str) -> Result<(), Refusal> {
    let what = || format!("{kind} cannot be started with that effort");
    if !has_efforts {
        return Err(Refusal::new(Code::StartFailed, what(), format!("{kind} knows no efforts"))
            .fix("leave the effort out"));
    }
    if !is_effort(effort) {
        let why = "an effort has 1 to 32 letters, digits, `-` and `_`";
        return Err(Refusal::new(Code::StartFailed, what(), why).fix("one of low, medium, high"));
    }
    Ok(())
}
