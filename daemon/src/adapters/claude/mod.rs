//! `claude`: Claude Code. Its own terminal program when the desktop drives, its `stream-json` protocol when the phone does;
//! both work on one transcript, one after the other and never at once.

mod decision;
mod effort;
mod files;
mod offers;
mod records;
mod shapes;
mod stream;
mod tools;
mod transcript;
mod visits;
mod watch;

use std::path::PathBuf;

use delight_core::session::{Capabilities, Controls};
use delight_proto::agent::Control;
use delight_proto::holder::Stdio;
use delight_proto::refusal::{Code, Refusal};

use super::agents_config::AgentSettings;
use super::codec::{Codec, Reporter, Watching};
use super::{Adapter, Launch, Machine, RunnerPlan, derived_id, program, watching};

const INSTALL: &str =
    "install Claude Code (npm install -g @anthropic-ai/claude-code), or name its program in agents.toml";

/// See the module.
#[derive(Debug)]
pub(super) struct Claude {
    settings: AgentSettings,
}

impl Claude {
    /// With what the owner set.
    pub(super) fn new(settings: AgentSettings) -> Self {
        Self { settings: settings.or_command(&["claude"]) }
    }
}

/// The conversation a runner works in: the one remembered, else one of the session's own.
fn conversation(launch: &Launch<'_>) -> String {
    let remembered = launch.memory.conversation.as_ref().map(|id| id.as_str().to_owned());
    remembered.unwrap_or_else(|| derived_id::conversation(launch.id))
}

impl Adapter for Claude {
    fn kind(&self) -> &str {
        "claude"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::agent(Controls { local: true, remote: true, shared: false })
    }

    fn detect(&self, machine: &Machine) -> Result<PathBuf, Refusal> {
        let env = self.settings.environment(machine.environment.plain());
        let found = program::find("claude", &self.settings.command[0], &env, INSTALL)?;
        let logged_in = files::config_dir(&env).is_some_and(|config| files::has_login(&config, &env));
        if logged_in {
            return Ok(found);
        }
        let what = "claude is installed, but does not seem to be logged in";
        Err(Refusal::new(Code::NeedsHuman, what, "neither a key nor an account was found")
            .fix("run `claude` in a terminal and log in, or set ANTHROPIC_API_KEY"))
    }

    fn has_efforts(&self) -> bool {
        true
    }

    fn plan(
        &self,
        launch: &Launch<'_>,
        machine: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal> {
        let mut env = self.settings.environment(env);
        let found = program::find("claude", &self.settings.command[0], &env, INSTALL)?;
        let mut argv = self.settings.argv(&found);
        let id = conversation(launch);
        let written =
            files::config_dir(&env).and_then(|config| files::transcript(&config, &launch.spec.cwd, &id));
        let asked_for = launch.spec.agent.conversation.as_ref().is_some_and(|asked| asked.as_str() == id);
        if written.is_none() && asked_for {
            let why = format!("there is no transcript of conversation {id}");
            return Err(Refusal::new(Code::StartFailed, "claude cannot go on with that conversation", why)
                .fix("leave the conversation out, or look for its id in `claude --resume`"));
        }
        if launch.control == Some(Control::Remote) {
            let protocol =
                ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"];
            argv.extend(protocol.map(str::to_owned));
            argv.extend(["--permission-prompt-tool", "stdio"].map(str::to_owned));
            env.retain(|(name, _)| name != STATE_EVENTS);
            env.push((STATE_EVENTS.to_owned(), "1".to_owned()));
        }
        // An id without a transcript is given anew: Claude resumes nothing that was never written.
        argv.push(if written.is_some() { "--resume" } else { "--session-id" }.to_owned());
        argv.push(id);
        if let Some(mode) = self.settings.permission_mode(launch.memory) {
            argv.push(format!("--permission-mode={mode}"));
        }
        if let Some(model) = self.settings.model(launch.memory) {
            argv.push(format!("--model={model}"));
        }
        if let Some(effort) = &launch.memory.mode.effort {
            argv.push(format!("--effort={effort}"));
        }
        // Claude takes settings once: the owner's own are left alone.
        let own = argv.iter().chain(&launch.spec.command).any(|word| word.starts_with(SETTINGS));
        if launch.control == Some(Control::Local) && !own {
            let session = machine.place.session(launch.id);
            argv.extend([SETTINGS.to_owned(), visits::settings(&visits::path(&session))]);
        }
        argv.extend(launch.spec.command.iter().cloned());
        let stdio = if launch.control == Some(Control::Remote) { Stdio::Pipes } else { Stdio::Pty };
        Ok(RunnerPlan { argv, env, stdio })
    }

    fn codec(&self, launch: &Launch<'_>) -> Option<Box<dyn Codec>> {
        (launch.control == Some(Control::Remote))
            .then(|| Box::new(stream::Stream::new(launch)) as Box<dyn Codec>)
    }

    fn watch(&self, launch: &Launch<'_>, machine: &Machine, pid: u32, to: Reporter) -> Option<Watching> {
        let env = self.settings.environment(machine.environment.of_session(launch.id, &launch.spec.env));
        let config = files::config_dir(&env)?;
        let session = machine.place.session(launch.id);
        Some(watching::watching(watch::Watch::new(launch, config, &session, pid), to))
    }
}

/// Names further settings.
const SETTINGS: &str = "--settings";

/// Makes Claude say in its stream what it is doing.
const STATE_EVENTS: &str = "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS";

#[cfg(test)]
mod tests;
