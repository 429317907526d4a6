//! `up`: a daemon runs.

use std::net::SocketAddr;

use delight_proto::api::method::{AgentKind, AgentList, DaemonStatus, Empty, RelayStatus, UplinkStatus};
use delight_proto::refusal::{Code, Refusal};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Tone;
use crate::{launch, text};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It goes on after you log out only where the system allows that: see `delightctl service install`.

Examples:
  delightctl up
  delightctl up --relay        with a sync server inside, to try phones and other machines")]
pub(crate) struct Args {
    /// Run a sync server inside the daemon, for trying things out; default: 127.0.0.1:3005, this machine only
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:3005")]
    relay: Option<SocketAddr>,
}

/// The scripted agent that comes with delight, for tests: nobody looks for it.
const PRACTICE: &str = "fake";

#[derive(Serialize)]
struct Document {
    /// Whether this call started it.
    started: bool,
    pid: u32,
    version: String,
    socket: String,
    state_dir: String,
    kinds: Vec<String>,
    /// Sessions that are alive.
    live: u32,
    /// Whether a phone or server is paired.
    paired: bool,
    /// That server.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The relay inside the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<RelayStatus>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        let (mut daemon, started) = launch::connect(&place, self.relay)?;
        let status = daemon.call::<DaemonStatus>(&Empty {})?;
        if self.relay.is_some() {
            check_relay(status.relay.as_ref())?;
        }
        let server = daemon.call::<UplinkStatus>(&Empty {})?.server;
        // For a line of words only: an older daemon may not tell.
        let agents = daemon.call::<AgentList>(&Empty {}).map(|listed| listed.agents).ok();
        let kinds = daemon.hello().map(|hello| hello.kinds.clone()).unwrap_or_default();
        let live = status.sessions.iter().filter(|(phase, _)| phase.is_live()).map(|(_, n)| n).sum();
        let document = Document {
            started,
            pid: status.pid,
            version: status.version,
            socket: status.socket,
            state_dir: status.state_dir,
            kinds,
            live,
            paired: server.is_some(),
            server,
            relay: status.relay,
        };
        context.out.result(&document, || {
            let head = if started { "delightd is up" } else { "delightd was already running" };
            let next = if live == 0 { "delightctl spawn" } else { "delightctl list" };
            let phone = match &document.server {
                Some(server) => format!("paired, by {}", text::visible(server)),
                None => "nothing is paired; everything works on this machine without it".to_owned(),
            };
            let relay = document.relay.as_ref().map_or_else(String::new, |relay| {
                let state = relay.url.as_ref().unwrap_or(&relay.reason);
                format!("  relay     {}\n", text::visible(state))
            });
            format!(
                "{} (version {}, pid {})\n  socket    {}\n  data      {}\n  sessions  {live} alive\n  agents    {}\n  \
                 phone     {phone}\n{relay}next: {next}\n",
                context.out.paint(Tone::Good, head),
                text::visible(&document.version),
                document.pid,
                text::visible(&document.socket),
                text::visible(&document.state_dir),
                agents.as_deref().map_or_else(|| "delightctl agents lists them".to_owned(), found),
            )
        })?;
        Ok(0)
    }
}

/// The agents that are installed, and which of them wait for their owner to log in.
fn found(agents: &[AgentKind]) -> String {
    let is_one = |agent: &&AgentKind| !agent.controls.is_empty() && agent.kind != PRACTICE;
    let installed: Vec<String> = agents
        .iter()
        .filter(is_one)
        .filter_map(|agent| match &agent.missing {
            None => Some(text::visible(&agent.kind)),
            Some(missing) if missing.code == Code::NeedsHuman => {
                Some(format!("{} (not logged in)", text::visible(&agent.kind)))
            }
            Some(_) => None,
        })
        .collect();
    if installed.is_empty() {
        return "none is installed; delightctl agents says how to get one".to_owned();
    }
    format!("{}; more: delightctl agents", installed.join(", "))
}

/// A relay that was asked for runs, or the reason why not is told.
fn check_relay(relay: Option<&RelayStatus>) -> Result<(), Refusal> {
    match relay {
        Some(RelayStatus { url: Some(_), .. }) => Ok(()),
        Some(relay) => {
            let refusal =
                Refusal::new(Code::StartFailed, "the relay does not run; the daemon does", &relay.reason);
            Err(refusal.fix("delightctl down, then delightctl up --relay with a free address"))
        }
        None => Err(Refusal::new(
            Code::WrongState,
            "there is no relay",
            "the daemon was already running without one",
        )
        .fix("delightctl down, then delightctl up --relay; sessions go on meanwhile")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::agent::Control;

    fn agent(kind: &str, missing: Option<Code>) -> AgentKind {
        AgentKind {
            kind: kind.to_owned(),
            controls: if kind == "pty" { vec![] } else { vec![Control::Local] },
            program: None,
            missing: missing.map(|code| Refusal::new(code, "w", "r")),
        }
    }

    #[test]
    fn the_agents_that_are_installed_are_named_and_whether_they_are_logged_in() {
        let none = [agent("pty", None), agent("fake", None), agent("x", Some(Code::StartFailed))];
        assert_eq!(found(&none), "none is installed; delightctl agents says how to get one");
        let some = [agent("claude", None), agent("codex", Some(Code::NeedsHuman))];
        assert_eq!(found(&some), "claude, codex (not logged in); more: delightctl agents");
    }
}
