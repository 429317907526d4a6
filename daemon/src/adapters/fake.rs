//! `fake`: the scripted agent that ships with delight, for trying things out and for tests. It is honest about it.

use std::path::PathBuf;

use delight_core::session::{Capabilities, Controls, Survivors};
use delight_proto::holder::Stdio;
use delight_proto::refusal::{Code, Refusal};

use super::{Adapter, Launch, Machine, RunnerPlan};

/// See the module.
#[derive(Debug)]
pub(super) struct Fake;

impl Adapter for Fake {
    fn kind(&self) -> &str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        // Like real agents: tools it started are not to outlive it, and its holder hosts one generation after another.
        Capabilities {
            survivors: Survivors::End,
            keep_holder: true,
            controls: Controls::default(),
            resume: false,
        }
    }

    fn detect(&self, machine: &Machine) -> Result<PathBuf, Refusal> {
        machine.fake_agent.clone().filter(|path| path.to_str().is_some()).ok_or_else(|| {
            Refusal::new(
                Code::StartFailed,
                "the fake agent cannot be started",
                "delight-fake-agent lies neither beside delightd nor in PATH",
            )
            .fix("install delight-fake-agent, or spawn another kind")
        })
    }

    fn plan(
        &self,
        launch: &Launch<'_>,
        machine: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal> {
        let program = self.detect(machine)?.to_string_lossy().into_owned();
        let argv = std::iter::once(program.to_owned()).chain(launch.spec.command.iter().cloned()).collect();
        Ok(RunnerPlan { argv, env, stdio: Stdio::Pty })
    }
}
