//! Commands by way of the control API: where the owner lets nobody run commands from afar, this way does not either.

use delight_proto::api::method::{Method, SessionSend, SessionSpawn, SpawnParams};
use delight_proto::refusal::{Code, Refusal};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::{Remote, directory};

impl Remote {
    /// Refuses what would run a command of whoever asks, unless `remote.shell` is on: a program of his own, a session with
    /// an environment by which programs load code, one outside the roots, and what is typed into a terminal. An agent may be
    /// spoken to: it asks before it acts.
    ///
    /// # Errors
    /// `forbidden`, or what is wrong with the directory.
    pub(super) async fn may_command(&self, method: &str, params: &Value) -> Result<(), Refusal> {
        if self.settings.shell {
            return Ok(());
        }
        match method {
            SessionSend::NAME => Err(forbidden(
                "nothing was typed",
                "what is typed into a terminal are commands, and its owner lets nobody run those from afar",
            )),
            // What cannot be read the method itself refuses.
            SessionSpawn::NAME => match serde_json::from_value::<SpawnParams>(params.clone()) {
                Ok(params) => self.may_spawn(params).await,
                Err(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn may_spawn(&self, params: SpawnParams) -> Result<(), Refusal> {
        const WHAT: &str = "the session was not made";
        if !params.command.is_empty() {
            return Err(forbidden(WHAT, "its owner lets nobody run commands of their own from afar"));
        }
        if let Some(name) =
            params.env.keys().find(|name| !is_of_a_terminal(name) && !self.settings.may_set(name))
        {
            let name: String = name.chars().take(80).collect();
            let reason = format!("the environment variable {name:?} may not be set from afar");
            return Err(Refusal::new(Code::Forbidden, WHAT, reason)
                .fix("the machine's owner can allow it: remote.env, or all commands: remote.shell"));
        }
        let (settings, home) = (self.settings.clone(), self.home.clone());
        let found = spawn_blocking(move || directory::find(&params.cwd, &settings, &home)).await;
        found.unwrap_or_else(|e| Err(Refusal::new(Code::Internal, WHAT, e.to_string()))).map(drop)
    }
}

/// What `delightctl` says of the terminal a session is made for.
fn is_of_a_terminal(name: &str) -> bool {
    matches!(name, "TERM" | "COLORTERM")
}

fn forbidden(what: &str, reason: &str) -> Refusal {
    Refusal::new(Code::Forbidden, what, reason).fix("its owner can set remote.shell in its configuration")
}
