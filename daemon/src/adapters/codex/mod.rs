//! `codex`: OpenAI's Codex. One app server in the session serves phone and desktop at once (`host`): the phone by the
//! daemon, the desktop by Codex's own terminal program, which `delightctl attach` starts as one more client of it.
//!
//! With `share = false` in `agents.toml` it is one process after the other on one conversation: the terminal program when
//! the desktop drives, the app server on its pipes when the phone does.

mod approvals;
mod elsewhere;
mod files;
mod host;
mod items;
mod modes;
mod rollout;
mod server;
mod shapes;
mod told;
mod watch;

use std::path::{Path, PathBuf};

use delight_core::session::{Capabilities, Controls, Survivors};
use delight_proto::agent::Control;
use delight_proto::api::method::TerminalProgram;
use delight_proto::holder::Stdio;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::SessionView;

use super::agents_config::AgentSettings;
use super::codec::{Codec, Reporter, Watching};
use super::{Adapter, Launch, Machine, RunnerPlan, program, watching};
use crate::process::identity;

const INSTALL: &str = "install Codex (npm install -g @openai/codex), or name its program in agents.toml";

pub(crate) use host::host;

/// See the module.
#[derive(Debug)]
pub(super) struct Codex {
    settings: AgentSettings,
}

impl Codex {
    /// With what the owner set.
    pub(super) fn new(settings: AgentSettings) -> Self {
        Self { settings: settings.or_command(&["codex"]) }
    }

    fn shares(&self) -> bool {
        self.settings.share.unwrap_or(true)
    }
}

impl Adapter for Codex {
    fn kind(&self) -> &str {
        "codex"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            survivors: Survivors::End,
            keep_holder: true,
            controls: Controls { local: true, remote: true, shared: self.shares() },
            resume: true,
        }
    }

    fn detect(&self, machine: &Machine) -> Result<PathBuf, Refusal> {
        let env = self.settings.environment(machine.environment.plain());
        let found = program::find("codex", &self.settings.command[0], &env, INSTALL)?;
        if files::home(&env).is_some_and(|home| files::has_login(&home, &env)) {
            return Ok(found);
        }
        let what = "codex is installed, but does not seem to be logged in";
        Err(Refusal::new(Code::NeedsHuman, what, "neither a key nor an account was found")
            .fix("run `codex login`, or set OPENAI_API_KEY"))
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
        let env = self.settings.environment(env);
        let found = program::find("codex", &self.settings.command[0], &env, INSTALL)?;
        let mut argv = self.settings.argv(&found);
        if let Some(effort) = &launch.memory.mode.effort {
            argv.push(format!("--config=model_reasoning_effort={effort}"));
        }
        if let Some(name) =
            self.settings.permission_mode(launch.memory).filter(|name| modes::of(name).is_none())
        {
            let why = format!("Codex has no permission mode {name:?}");
            return Err(Refusal::new(Code::StartFailed, "codex cannot be started", why)
                .fix(format!("choose one of {}", modes::names())));
        }
        let conversation = launch.memory.conversation.as_ref();
        let rollout =
            conversation.and_then(|id| files::home(&env).and_then(|home| files::rollout(&home, id.as_str())));
        if let (None, Some(asked)) = (&rollout, &launch.spec.agent.conversation)
            && conversation == Some(asked)
        {
            let why = format!("there is no rollout file of conversation {asked}");
            return Err(Refusal::new(Code::StartFailed, "codex cannot go on with that conversation", why)
                .fix("leave the conversation out, or look for its id in `codex resume`"));
        }
        if launch.control == Some(Control::Remote) {
            argv.push("app-server".to_owned());
            argv.extend(launch.spec.command.iter().cloned());
            if self.shares() {
                let socket = machine.place.agent_socket(launch.id);
                let host = [&*machine.daemon, Path::new("codex-host"), Path::new("--socket"), &*socket];
                argv.splice(0..0, host.map(|word| word.to_string_lossy().into_owned()));
            }
            return Ok(RunnerPlan { argv, env, stdio: Stdio::Pipes });
        }
        // Without it Codex leaves a server of its own behind that outlives it.
        argv.push("--no-daemon".to_owned());
        if let Some(mode) = self.settings.permission_mode(launch.memory).as_deref().and_then(modes::of) {
            argv.push(format!("--ask-for-approval={}", mode.approval));
            argv.push(format!("--sandbox={}", mode.sandbox));
        }
        if let Some(model) = self.settings.model(launch.memory) {
            argv.push(format!("--model={model}"));
        }
        // A conversation without a turn was never written.
        if let (Some(id), Some(_)) = (conversation, rollout) {
            argv.extend(["resume".to_owned(), id.to_string()]);
        }
        argv.extend(launch.spec.command.iter().cloned());
        Ok(RunnerPlan { argv, env, stdio: Stdio::Pty })
    }

    fn terminal(&self, session: &SessionView, machine: &Machine) -> Result<Option<TerminalProgram>, Refusal> {
        if !session.agent.as_ref().is_some_and(|agent| agent.shared) {
            return Ok(None);
        }
        let env = self.settings.environment(machine.environment.plain());
        let found = program::find("codex", &self.settings.command[0], &env, INSTALL)?;
        let mut argv = self.settings.argv(&found);
        argv.push("--remote".to_owned());
        argv.push(format!("unix://{}", machine.place.agent_socket(session.id).display()));
        let conversation = session.agent.as_ref().and_then(|agent| agent.conversation.as_ref());
        if let Some(conversation) = conversation {
            argv.extend(["resume".to_owned(), conversation.to_string()]);
        }
        Ok(Some(TerminalProgram { argv, env: self.settings.env.clone() }))
    }

    fn codec(&self, launch: &Launch<'_>) -> Option<Box<dyn Codec>> {
        let model = self.settings.model(launch.memory);
        let mode = self.settings.permission_mode(launch.memory).as_deref().and_then(modes::of);
        let shared = self.shares();
        (launch.control == Some(Control::Remote))
            .then(|| Box::new(server::Server::new(launch, model, mode, shared)) as Box<dyn Codec>)
    }

    fn watch(&self, launch: &Launch<'_>, machine: &Machine, pid: u32, to: Reporter) -> Option<Watching> {
        let env = self.settings.environment(machine.environment.of_session(launch.id, &launch.spec.env));
        let home = files::home(&env)?;
        // The process's files are named without links.
        let home = home.canonicalize().unwrap_or(home);
        Some(watching::watching(watch::Watch::new(launch, home, pid, identity::started_at(pid)), to))
    }
}

#[cfg(test)]
mod tests;
