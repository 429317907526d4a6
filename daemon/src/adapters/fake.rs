//! `fake`: the scripted agent that ships with delight, for trying things out and for tests. It is honest about it.

use delight_core::session::{Capabilities, Survivors};
use delight_proto::holder::Stdio;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::StartSpec;

use super::{Adapter, Machine, RunnerPlan};

/// See the module.
#[derive(Debug)]
pub(super) struct Fake;

impl Adapter for Fake {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        // Like real agents: tools it started are not to outlive it, and its holder hosts one generation after another.
        Capabilities { survivors: Survivors::End, keep_holder: true, resume: false }
    }

    fn plan(
        &self,
        spec: &StartSpec,
        machine: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal> {
        let missing = || {
            Refusal::new(
                Code::StartFailed,
                "the fake agent cannot be started",
                "delight-fake-agent lies neither beside delightd nor in PATH",
            )
            .fix("install delight-fake-agent, or spawn another kind")
        };
        let program = machine.fake_agent.as_deref().and_then(|path| path.to_str()).ok_or_else(missing)?;
        let argv = std::iter::once(program.to_owned()).chain(spec.command.iter().cloned()).collect();
        Ok(RunnerPlan { argv, env, stdio: Stdio::Pty })
    }
}
