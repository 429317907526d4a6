//! Agents that speak the Agent Client Protocol: each is a kind of its own, by name and command (`agents.toml`). They have
//! no terminal program that shares a conversation with it, so only the phone (or `delightctl send`) drives them.

mod asking;
mod calls;
mod client;
mod options;
mod shapes;
mod turns;
mod words;

use std::path::PathBuf;

use delight_core::session::{Capabilities, Controls};
use delight_proto::agent::Control;
use delight_proto::holder::Stdio;
use delight_proto::refusal::Refusal;

use super::agents_config::AgentSettings;
use super::codec::Codec;
use super::{Adapter, Launch, Machine, RunnerPlan, program};

/// See the module.
#[derive(Debug)]
pub(super) struct Acp {
    kind: String,
    settings: AgentSettings,
}

impl Acp {
    /// A kind of that name. Its settings have a command.
    pub(super) fn new(kind: String, settings: AgentSettings) -> Self {
        Self { kind, settings }
    }

    fn find(&self, env: &[(String, String)]) -> Result<PathBuf, Refusal> {
        let install =
            format!("install {}, or set `command` of [acp.{}] in agents.toml", self.kind, self.kind);
        let command = self.settings.command.first().map_or("", String::as_str);
        program::find(&self.kind, command, env, &install)
    }
}

impl Adapter for Acp {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::agent(Controls { remote: true, ..Controls::default() })
    }

    fn detect(&self, machine: &Machine) -> Result<PathBuf, Refusal> {
        self.find(&self.settings.environment(machine.environment.plain()))
    }

    /// Each agent says itself, when its conversation begins.
    fn has_efforts(&self) -> bool {
        true
    }

    fn plan(
        &self,
        launch: &Launch<'_>,
        _: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal> {
        let env = self.settings.environment(env);
        let mut argv = self.settings.argv(&self.find(&env)?);
        argv.extend(launch.spec.command.iter().cloned());
        Ok(RunnerPlan { argv, env, stdio: Stdio::Pipes })
    }

    fn codec(&self, launch: &Launch<'_>) -> Option<Box<dyn Codec>> {
        let model = self.settings.model(launch.memory);
        let mode = self.settings.permission_mode(launch.memory);
        (launch.control == Some(Control::Remote))
            .then(|| Box::new(client::Client::new(&self.kind, launch, model, mode)) as Box<dyn Codec>)
    }
}

#[cfg(test)]
mod tests;
