//! `pty`: any program in a terminal; by default the user's shell.

use std::path::PathBuf;

use delight_core::session::{Capabilities, Survivors};
use delight_proto::holder::Stdio;
use delight_proto::refusal::Refusal;

use super::{Adapter, Launch, Machine, RunnerPlan};

/// The shell of last resort; POSIX systems have it.
const LAST_RESORT: &str = "/bin/sh";

/// See the module.
#[derive(Debug)]
pub(super) struct Pty;

impl Adapter for Pty {
    fn kind(&self) -> &str {
        "pty"
    }

    fn capabilities(&self) -> Capabilities {
        // What a person left behind in a shell with `nohup` or `&` is meant to go on.
        Capabilities { survivors: Survivors::Leave, ..Capabilities::default() }
    }

    fn detect(&self, machine: &Machine) -> Result<PathBuf, Refusal> {
        Ok(shell(None, machine).into())
    }

    fn plan(
        &self,
        launch: &Launch<'_>,
        machine: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal> {
        let spec = launch.spec;
        let argv = if spec.command.is_empty() {
            vec![shell(spec.env.get("SHELL").map(String::as_str), machine)]
        } else {
            spec.command.clone()
        };
        Ok(RunnerPlan { argv, env, stdio: Stdio::Pty })
    }
}

/// The session's `SHELL`, else the daemon's, else the login shell.
fn shell(of_session: Option<&str>, machine: &Machine) -> String {
    let from_env = of_session.or_else(|| machine.environment.get("SHELL"));
    let login = || machine.login_shell.as_deref().and_then(|path| path.to_str());
    from_env.filter(|shell| !shell.is_empty()).or_else(login).unwrap_or(LAST_RESORT).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::Environment;
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    fn program(own: Option<&str>, login: Option<&str>, spec_env: &[(&str, &str)]) -> String {
        let machine = Machine {
            environment: Environment::inherit(
                own.map(|shell| (OsString::from("SHELL"), OsString::from(shell))).into_iter(),
            ),
            login_shell: login.map(Into::into),
            fake_agent: None,
            daemon: PathBuf::new(),
            private: Vec::new(),
            place: crate::testing::nowhere(),
        };
        let env: BTreeMap<_, _> = spec_env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let spec: delight_proto::session::StartSpec =
            serde_json::from_value(serde_json::json!({"kind": "pty", "cwd": "/", "env": env})).unwrap();
        let memory = delight_proto::agent::AgentMemory::default();
        let launch = Launch {
            id: delight_proto::id::SessionId::from_random([1; 10]),
            spec: &spec,
            control: None,
            memory: &memory,
        };
        Pty.plan(&launch, &machine, Vec::new()).unwrap().argv.remove(0)
    }

    #[test]
    fn the_shell_is_the_sessions_then_the_daemons_then_the_login_shell() {
        assert_eq!(program(Some("/bin/a"), Some("/bin/b"), &[("SHELL", "/bin/c")]), "/bin/c");
        assert_eq!(program(Some("/bin/a"), Some("/bin/b"), &[]), "/bin/a");
        assert_eq!(program(Some(""), Some("/bin/b"), &[]), "/bin/b");
        assert_eq!(program(None, None, &[]), "/bin/sh");
    }
}
